// In a signal handler, possibly in the middle of malloc: nothing but write(), poll() and what writes alone.
#include "control/keeper/stack_report.hpp"

#include <execinfo.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

namespace sluice::control {
namespace {

void write_text(const char* text) {
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text, std::strlen(text));
}

/// Threads that are asked at the same time write one after another. Whoever has waited for so long, less than the
/// keeper waits before it kills, writes all the same: the one before it may have crashed in the middle.
constexpr unsigned kPatienceMs = 100;
std::atomic_flag is_written;

class Turn {
 public:
  Turn() {
    // acquire, release: not for any data, but so that no write() moves out of the turn.
    for (unsigned ms = 0; ms < kPatienceMs && is_written.test_and_set(std::memory_order_acquire); ++ms) {
      ::poll(nullptr, 0, 1);
    }
  }
  ~Turn() { is_written.clear(std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

void write_stack() {
  const Turn turn;
  std::array<char, 16> name{};
  ::prctl(PR_GET_NAME, name.data());
  std::array<void*, 64> frames{};
  const int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  write_text("sluice: stack of thread ");
  write_text(name.data());
  write_text(":\n");
  ::backtrace_symbols_fd(frames.data(), count, STDERR_FILENO);
}

void on_question(int /*signal*/) { write_stack(); }

void on_crash(int signal) {
  write_stack();
  ::raise(signal);  // which is the default action's again (SA_RESETHAND), a core dump included
}

}  // namespace

void report_stacks() {
  // The first call loads a library and allocates: not in a handler.
  std::array<void*, 1> frame{};
  ::backtrace(frame.data(), 1);

  struct sigaction question {};
  question.sa_handler = on_question;
  question.sa_flags = SA_RESTART;
  ::sigaction(SIGQUIT, &question, nullptr);

  struct sigaction crash {};
  crash.sa_handler = on_crash;
  crash.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_DFL) ::sigaction(signal, &crash, nullptr);
  }
}

}  // namespace sluice::control
