// A process with an anchor, killed: it is dead at once, and what it had is there until the anchor is let go.
#include "control/keeper/anchor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <utility>

#include "tests/unit/temporary_directory.hpp"

namespace sluice::control {
namespace {

using ports::UniqueFd;

struct Pair {
  UniqueFd ours, theirs;
};

Pair stream_pair() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

bool hung_up(const UniqueFd& fd, int patience_ms) {
  pollfd end{fd.get(), 0, 0};
  return ::poll(&end, 1, patience_ms) == 1 && (end.revents & POLLHUP) != 0;
}

/// A child that, once it has its anchor, maps memory of a file and opens a FIFO.
class Anchored : public testing::Test {
 protected:
  void SetUp() override {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ASSERT_EQ(::ftruncate(memory_.get(), 4096), 0);
    ASSERT_EQ(::mkfifo(fifo_.c_str(), 0600), 0);
    open_ = UniqueFd(::open(fifo_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) be_child();
    lifeline_.theirs.reset();
    pollfd said{open_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&said, 1, 20'000), 1) << "the child has no anchor";
    char word = 0;
    ASSERT_EQ(::read(open_.get(), &word, 1), 1);
  }

  void TearDown() override {
    ::kill(child_, SIGKILL);
    lifeline_.ours.reset();
    while (::waitpid(-1, nullptr, 0) > 0) continue;
  }

  void kill() const {
    ASSERT_EQ(::kill(child_, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child_, nullptr, 0), child_);
  }

  /// Nobody has it mapped: such a file can be sealed.
  [[nodiscard]] bool memory_is_free() const { return ::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0; }

  const UniqueFd memory_{::memfd_create("mapped", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  Pair lifeline_ = stream_pair();
  const TemporaryDirectory directory_;
  const std::string fifo_ = directory_ / "fifo";
  UniqueFd open_;
  pid_t child_ = -1;

 private:
  [[noreturn]] void be_child() {
    lifeline_.ours.reset();
    if (!drop_anchor(std::move(lifeline_.theirs), Scheduling::of(0))) ::_exit(1);
    ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    const int fifo = ::open(fifo_.c_str(), O_WRONLY | O_CLOEXEC);
    [[maybe_unused]] const ssize_t n = ::write(fifo, "!", 1);
    for (;;) ::pause();
  }
};

TEST_F(Anchored, what_a_dead_process_had_is_there_until_its_anchor_is_let_go) {
  kill();
  EXPECT_FALSE(hung_up(open_, 0));
  EXPECT_FALSE(hung_up(lifeline_.ours, 0));
  EXPECT_FALSE(memory_is_free());

  ASSERT_EQ(::shutdown(lifeline_.ours.get(), SHUT_WR), 0);
  EXPECT_TRUE(hung_up(lifeline_.ours, 20'000));
  EXPECT_TRUE(memory_is_free());
  EXPECT_TRUE(hung_up(open_, 20'000));
}

TEST_F(Anchored, an_anchor_ends_when_nobody_is_left_to_let_it_go) {
  kill();
  lifeline_.ours.reset();
  EXPECT_TRUE(hung_up(open_, 20'000));
}

TEST_F(Anchored, a_process_lives_on_without_its_anchor) {
  ASSERT_EQ(::shutdown(lifeline_.ours.get(), SHUT_WR), 0);
  siginfo_t ended{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
  EXPECT_EQ(ended.si_pid, 0);
  EXPECT_FALSE(hung_up(lifeline_.ours, 0)) << "its own end of it is open";
  kill();
  EXPECT_TRUE(hung_up(lifeline_.ours, 20'000));
}

}  // namespace
}  // namespace sluice::control
