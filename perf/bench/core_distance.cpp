// core_distance: how far from each other two cores are: in cycles of the time stamp counter, what passes from a
// number's being written on one of them until the other's answer is read there. Ten looks a second, a line for each.
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
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kBetweenLooks = 100ms;
constexpr auto kLook = 200us;          // at most: whatever else is to run on the cores waits for so long
constexpr std::size_t kAnswers = 100;  // that a look is the median of
constexpr std::size_t kFewest = 10;    // of which there is a median at all

struct Line {
  alignas(64) std::atomic<std::uint32_t> number{0};
};

struct Looks {
  Clock::time_point begin;
  int count;
  bool busy;  // the cores are kept busy between the looks

  Clock::time_point of(int number) const { return begin + number * kBetweenLooks; }

  void wait_for(int number) const {
    if (!busy) std::this_thread::sleep_until(of(number));
    while (Clock::now() < of(number)) continue;
  }
};

// This thread onto `core`, and ahead of all that has no fixed priority if it is `urgent`. False: the process may not.
bool move_to(unsigned core, bool urgent) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  const sched_param priority{.sched_priority = 50};
  return core < CPU_SETSIZE && pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0 &&
         (!urgent || pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) == 0);
}

void answer(const Looks& looks, const Line& asked, Line& answered) {
  for (int look = 0; look != looks.count; ++look) {
    looks.wait_for(look);
    const std::uint32_t last = static_cast<std::uint32_t>(look + 1) * kAnswers;
    for (const auto end = Clock::now() + kLook;
         Clock::now() < end && answered.number.load(std::memory_order_relaxed) < last;)
      for (int often = 0; often != 100; ++often)
        answered.number.store(asked.number.load(std::memory_order_acquire), std::memory_order_release);
  }
}

// Cycles until `number` is answered; none, if it is not before `end`.
std::optional<std::uint64_t> there_and_back(std::uint32_t number, Clock::time_point end, Line& asked,
                                            const Line& answered) {
  const std::uint64_t begin = __rdtsc();
  asked.number.store(number, std::memory_order_release);
  for (int often = 1; answered.number.load(std::memory_order_acquire) != number; ++often)
    if (often % 100 == 0 && Clock::now() > end) return std::nullopt;
  return __rdtsc() - begin;
}

// The median of a look's answers; none: the other core was not there.
std::optional<std::uint64_t> ask(const Looks& looks, int look, Line& asked, const Line& answered) {
  std::vector<std::uint64_t> cycles;
  looks.wait_for(look);
  const auto end = Clock::now() + kLook;
  const std::uint32_t first = static_cast<std::uint32_t>(look) * kAnswers;
  for (std::uint32_t number = first + 1; number <= first + kAnswers; ++number) {
    const auto taken = there_and_back(number, end, asked, answered);
    if (!taken) break;
    cycles.push_back(*taken);
  }
  if (cycles.size() < kFewest) return std::nullopt;
  const auto middle = cycles.begin() + static_cast<std::ptrdiff_t>(cycles.size() / 2);
  std::ranges::nth_element(cycles, middle);
  return *middle;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is not caught is to end it, and says so
int main(int argc, char** argv) {
  CLI::App app(
      "How far two cores are from each other: cycles of the time stamp counter, there and back, ten times a second");
  unsigned here = 0;
  unsigned there = 1;
  double seconds = 1.0;
  bool busy = false;
  app.add_option("here", here, "A core's number")->required();
  app.add_option("there", there, "Another's")->required();
  app.add_option("--seconds", seconds, "For so long")->check(CLI::Range(0.1, 3600.0))->capture_default_str();
  app.add_flag(
      "--busy", busy,
      "Keep both cores busy between the looks; without it, look ahead of all that runs on them, which only root may");
  CLI11_PARSE(app, argc, argv);
  if (here == there || !move_to(there, !busy) || !move_to(here, !busy)) {
    std::cerr << "core_distance: cores " << here << " and " << there
              << ": right are two that this process may use, and a real-time priority, or --busy\n";
    return 1;
  }
  const Looks looks{Clock::now() + kBetweenLooks, static_cast<int>(seconds * 1s / kBetweenLooks), busy};
  Line asked;
  Line answered;
  std::thread other([&] {
    if (move_to(there, !busy)) answer(looks, asked, answered);
  });
  for (int look = 0; look != looks.count; ++look)
    if (const auto cycles = ask(looks, look, asked, answered)) std::cout << *cycles << '\n';
  other.join();
  return 0;
}
