// Work that is stopped after every store: the child that does it goes one instruction at a time, and whenever memory
// that outlives it has changed, what a successor would find there is looked at. A kill can leave nothing else.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

namespace sluice::test {

/// A T in memory that processes share: all zero.
template <typename T>
class Shared {
 public:
  Shared()
      : at_(static_cast<T*>(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Shared() { ::munmap(static_cast<void*>(at_), sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T& operator*() const { return *at_; }
  T* operator->() const { return at_; }

 private:
  T* at_;
};

template <typename T>
std::span<const std::byte> bytes_of(const T& object, std::size_t most = sizeof(T)) {
  return {reinterpret_cast<const std::byte*>(&object), std::min(most, sizeof(T))};
}

/// Has a child do step(0), step(1), ... step(steps - 1). After every store to `memory` calls look(i), where i is the
/// step that has begun last: it is under way or done. Returns how many stores there were.
inline std::size_t at_every_store(const std::vector<std::span<const std::byte>>& memory, unsigned steps,
                                  const std::function<void(unsigned)>& step,
                                  const std::function<void(unsigned)>& look) {
  Shared<std::uint32_t> begun;
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    for (unsigned i = 0; i < steps; ++i) {
      // volatile: seen at its place among the stores.
      *static_cast<volatile std::uint32_t*>(&*begun) = i;
      step(i);
    }
    ::_exit(0);
  }
  std::vector<std::byte> before;
  const auto take = [&] {
    std::vector<std::byte> now;
    for (const auto part : memory) now.insert(now.end(), part.begin(), part.end());
    return now;
  };
  before = take();
  std::size_t stores = 0;
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSTOPPED(status)) << "a child may not be stepped through here";
  while (WIFSTOPPED(status) && !::testing::Test::HasFatalFailure()) {
    if (::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0 || ::waitpid(child, &status, 0) != child) break;
    std::size_t offset = 0;
    bool changed = false;
    for (const auto part : memory) {
      changed |= std::memcmp(before.data() + offset, part.data(), part.size()) != 0;
      offset += part.size();
    }
    if (!changed) continue;
    before = take();
    ++stores;
    look(*begun);
    if (::testing::Test::HasFailure()) break;
  }
  if (WIFSTOPPED(status)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  } else {
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child has ended by itself, status " << status;
  }
  return stores;
}

}  // namespace sluice::test
