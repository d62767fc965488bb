// Generator: all VMs, and the loop that lets them send and receive. One thread does everything, the main thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "perf/vmgen/memory.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/receiver.hpp"
#include "perf/vmgen/sender.hpp"
#include "perf/vmgen/vm.hpp"
#include "perf/vmgen/window.hpp"

namespace sluice::vmgen {

/// What one VM, or all together, have counted.
struct Counts {
  SenderCounts sender;
  ReceiverCounts receiver;
  std::uint64_t expected = 0;
  std::uint64_t new_sent = 0;
  std::uint64_t new_expected = 0;

  Counts& operator+=(const Counts& other);
};

struct VmResult {
  Counts counts;
  Histogram latency;
  Gap gap;
  bool expects_any = false;
  bool link_up = false;
};

/// Of the generator itself, while it sent.
struct Effort {
  std::uint64_t cycles = 0;
  std::uint64_t busy_cycles = 0;   ///< of turns that moved frames
  std::uint64_t frames = 0;        ///< moved in them
  std::uint64_t full_cycles = 0;   ///< of turns in which a ring had not enough room
  std::uint64_t held_cycles = 0;   ///< of turns in which a sender's window had no room
  std::uint64_t longest_turn = 0;  ///< cycles from one turn's begin to the next one's
};

struct RunResult {
  double rate = 0;          ///< that was asked for; 0: as fast as possible
  double seconds = 0;       ///< of sending
  double clock = 0;         ///< CLOCK_MONOTONIC when it began
  std::uint64_t began = 0;  ///< the same by the TSC
  std::vector<VmResult> vms;
  Effort effort;
};

/// What is seen of a run while it lasts: the counts so far of each VM, and its longest gap since the last time.
struct Glimpse {
  double clock;
  double seconds;       ///< since the run began
  std::uint64_t began;  ///< when that was, by the TSC
  std::vector<Counts> vms{};
  std::vector<Gap> gaps{};
  std::vector<std::vector<std::uint64_t>> frames_by_queue{};  ///< that came in this interval
  std::vector<bool> links{};
};

class Generator {
 public:
  struct Plan {
    double rate = 0;
    double seconds = 0;                              ///< 0: until stopped
    std::function<void(const Glimpse&)> interval{};  ///< called each options.interval_ms, if there is one
    std::function<void(double clock)> started{};
    std::function<void(double clock)> ended{};
  };

  /// `stop` ends whatever runs, when it becomes true.
  Generator(const Options& options, std::vector<Vm>& vms, Pools& pools, const std::atomic<bool>& stop);

  /// Sends first frames until each receiver has heard all its senders. The error says who was not heard within
  /// `seconds`.
  Expected<void> greet(double seconds);
  RunResult run(const Plan& plan);

 private:
  /// Frames that one turn has moved, and whether rings took all.
  struct Moved {
    std::uint32_t frames = 0;
    bool refused = false;
    bool held = false;
  };

  Moved turn(std::uint64_t now);
  [[nodiscard]] std::uint32_t room_for(std::size_t sender, std::uint64_t now);
  /// The TSC afterwards.
  std::uint64_t nap() const;
  void send_until(std::uint64_t end, const Plan& plan, RunResult& result);
  void drain();
  void glimpse(const Plan& plan, const RunResult& result, std::uint64_t now);
  [[nodiscard]] Counts counts_of(std::size_t number) const;

  const Options& options_;
  std::vector<Vm>& vms_;
  const std::atomic<bool>& stop_;
  double hz_;
  std::vector<Sender> senders_;
  std::vector<Receiver> receivers_;
  std::vector<Window> windows_;  ///< by sender
  std::vector<const Stream*> streams_;
  std::uint8_t run_ = kWarmUpRun;
};

/// Seconds of CLOCK_MONOTONIC.
double monotonic_seconds();

}  // namespace sluice::vmgen
