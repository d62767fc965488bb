// What outlives a worker in memory: found again by the next one, and by none of another version.
#include "control/keeper/keeper_link.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace sluice::control {
namespace {

using ports::UniqueFd;
using ports::vhost::Heirloom;
using ::testing::HasSubstr;

std::unique_ptr<KeeperLink> attached(const UniqueFd& memory, UniqueFd socket = {}) {
  auto shared = SharedMemory::map(memory.get());
  EXPECT_TRUE(shared) << shared.error().message;
  return std::make_unique<KeeperLink>(std::move(socket), std::move(*shared), 0);
}

template <typename T>
bool all_zero(const T& object) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&object);
  return std::all_of(bytes, bytes + sizeof object, [](std::byte b) { return b == std::byte{0}; });
}

TEST(SharedStateTest, whoever_had_a_heartbeat_before_is_forgotten) {
  const auto memory = SharedMemory::create();
  ASSERT_TRUE(memory);
  {
    const auto link = attached(*memory);
    Heartbeat& before = link->heartbeat();
    for (Heartbeat::Pmd& pmd : before.pmds) {
      pmd.thread = 7;
      pmd.loop.enter();
    }
    before.control = 5;
    for (auto* word :
         {&before.control_thread, &before.standby, &before.hang_timeout_ms, &before.idle_sleep_ms, &before.long_work}) {
      *word = 1;
    }
  }
  const auto link = attached(*memory);
  EXPECT_TRUE(all_zero(link->heartbeat()));
}

TEST(SharedStateTest, a_new_one_is_empty_and_takes_little_memory) {
  const auto memory = SharedMemory::create();
  ASSERT_TRUE(memory);
  struct stat file {};
  ASSERT_EQ(::fstat(memory->get(), &file), 0);
  EXPECT_LT(file.st_blocks * 512, 64 << 10);
  const auto shared = SharedMemory::map(memory->get());
  ASSERT_TRUE(shared);
  EXPECT_TRUE(all_zero((*shared)->heartbeats));
  EXPECT_TRUE(all_zero((*shared)->vhost[SharedState::kMaxSlots - 1]));
}

TEST(SharedStateTest, one_of_another_version_is_refused_in_words) {
  const auto memory = SharedMemory::create();
  ASSERT_TRUE(memory);
  const std::uint32_t other = SharedState::kLayout + 1;
  ASSERT_EQ(::pwrite(memory->get(), &other, sizeof other, offsetof(SharedState, layout)), 4);
  const auto shared = SharedMemory::map(memory->get());
  ASSERT_FALSE(shared);
  EXPECT_THAT(shared.error().message, HasSubstr("is of version " + std::to_string(other)));
  EXPECT_THAT(shared.error().message, HasSubstr("this program's is version " + std::to_string(SharedState::kLayout)));
}

TEST(SharedStateTest, one_that_is_shorter_than_it_says_or_something_else_is_refused) {
  const auto memory = SharedMemory::create();
  ASSERT_EQ(::ftruncate(memory->get(), sizeof(SharedState) - 4096), 0);
  EXPECT_FALSE(SharedMemory::map(memory->get()));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const UniqueFd in(pipe[0]);
  const UniqueFd out(pipe[1]);
  EXPECT_FALSE(SharedMemory::map(in.get()));
}

TEST(SharedStateTest, a_ports_descriptors_go_to_the_keeper_and_come_from_it) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd keeper(pair[0]);
  const auto memory = SharedMemory::create();
  const auto link = attached(*memory, UniqueFd(pair[1]));
  ports::vhost::Estate& estate = link->estate(0);
  EXPECT_FALSE(estate.take(Heirloom::kick, 3));

  estate.keep(Heirloom::kick, 3, memory->get());
  auto kept = receive_message(keeper.get(), false);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->message.saying, Saying::keep);
  EXPECT_EQ(kept->message.kind, Kept::kick);
  EXPECT_EQ(kept->message.index, 3U);
  EXPECT_TRUE(kept->fd);
  estate.forget(Heirloom::kick, 3);
  EXPECT_EQ(receive_message(keeper.get(), false)->message.saying, Saying::forget);

  // A worker that stands by is told the same.
  ASSERT_EQ(send_message(keeper.get(), kept->message, {}, kept->fd.get(), true), SendResult::sent);
  ASSERT_EQ(send_message(keeper.get(), {.saying = Saying::go}, {}, -1, true), SendResult::sent);
  const auto command = link->wait();
  ASSERT_TRUE(command);
  EXPECT_EQ(command->saying, Saying::go);
  EXPECT_TRUE(estate.take(Heirloom::kick, 3));
  EXPECT_TRUE(estate.take(Heirloom::kick, 3)) << "asked again, it answers again";
  EXPECT_FALSE(estate.take(Heirloom::call, 3));
}

}  // namespace
}  // namespace sluice::control
