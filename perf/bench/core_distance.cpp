// core_distance: how far from each other two cores are: the median, in cycles of the time stamp counter, of what passes
// from a number's being written on one of them until the other's answer is read there.
//
// All that a switch moves goes from core to core. Those of a virtual machine are where its host has put them, near to
// each other at one time and far at another, and figures of the two times do not compare.
#include <pthread.h>
#include <sched.h>
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <thread>
#include <vector>

namespace {

struct Line {
  alignas(64) std::atomic<std::uint32_t> number{0};
};

constexpr std::chrono::milliseconds kDuration{50};
constexpr std::uint32_t kEnd = ~std::uint32_t{0};

bool move_to(unsigned core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  return core < CPU_SETSIZE && pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
}

void answer(const Line& asked, Line& answered) {
  for (std::uint32_t last = 0; last != kEnd;) {
    const std::uint32_t now = asked.number.load(std::memory_order_acquire);
    if (now == last) continue;
    answered.number.store(now, std::memory_order_release);
    last = now;
  }
}

std::vector<std::uint64_t> ask(Line& asked, const Line& answered) {
  std::vector<std::uint64_t> cycles;
  const auto end = std::chrono::steady_clock::now() + kDuration;
  for (std::uint32_t number = 1; number != kEnd && std::chrono::steady_clock::now() < end; ++number) {
    const std::uint64_t begin = __rdtsc();
    asked.number.store(number, std::memory_order_release);
    while (answered.number.load(std::memory_order_acquire) != number) continue;
    cycles.push_back(__rdtsc() - begin);
  }
  asked.number.store(kEnd, std::memory_order_release);
  return cycles;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is not caught is to end it, and says so
int main(int argc, char** argv) {
  CLI::App app("How far two cores are from each other: cycles of the time stamp counter, there and back, the median");
  unsigned here = 0;
  unsigned there = 1;
  app.add_option("here", here, "A core's number")->required();
  app.add_option("there", there, "Another's")->required();
  CLI11_PARSE(app, argc, argv);
  if (here == there || !move_to(there) || !move_to(here)) {
    std::cerr << "core_distance: cores " << here << " and " << there << ": right are two that this process may use\n";
    return 1;
  }
  Line asked;
  Line answered;
  std::atomic<bool> moved{false};
  std::thread other([&] {
    move_to(there);
    moved = true;
    moved.notify_one();
    answer(asked, answered);
  });
  moved.wait(false);
  auto cycles = ask(asked, answered);
  other.join();
  const auto middle = cycles.begin() + static_cast<std::ptrdiff_t>(cycles.size() / 2);
  std::ranges::nth_element(cycles, middle);
  std::cout << *middle << '\n';
  return 0;
}
