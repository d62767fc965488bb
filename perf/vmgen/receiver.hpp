// Receiver: one VM's receiving side: takes frames from its rings, checks them and counts. The main thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "perf/vmgen/frame_reader.hpp"
#include "perf/vmgen/histogram.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/sequence_table.hpp"
#include "perf/vmgen/stream.hpp"
#include "perf/vmgen/vm.hpp"

namespace sluice::vmgen {

struct ReceiverCounts {
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t foreign = 0;
  std::uint64_t new_received = 0;
  std::uint64_t new_duplicated = 0;
  std::uint64_t polls = 0;
  std::uint64_t polls_empty = 0;
};

/// The longest time without a frame, in TSC cycles.
struct Gap {
  std::uint64_t length = 0;
  std::uint64_t began = 0;

  void extend(std::uint64_t from, std::uint64_t to) {
    if (to > from && to - from > length) *this = {to - from, from};
  }
};

class Receiver {
 public:
  Receiver(const Options& options, const Vm& vm, std::size_t number);

  /// A new run: counts from zero. `streams`: all senders' streams, as they begin this run.
  void begin(std::uint8_t run, const std::vector<const Stream*>& streams);
  /// Takes what has come, in a few bursts at most; how many frames that was.
  std::uint32_t poll();

  /// The clock starts.
  void senders_began(std::uint64_t now);
  /// Sending has ended: later silence is no gap.
  void senders_ended(std::uint64_t now);
  /// The longest gap since the last call, one that still lasts included.
  Gap take_interval_gap(std::uint64_t now);
  /// Frames of this run that each queue has brought since the last call.
  std::vector<std::uint64_t> take_interval_frames();

  /// Whether each VM that sends to this one has been heard since the start, in frames that are not counted.
  [[nodiscard]] bool heard_all() const;
  /// Names of those that were not.
  [[nodiscard]] std::string not_heard(const Options& options) const;
  [[nodiscard]] bool expects_any() const { return expects_any_; }

  /// Good frames of this run from that VM.
  [[nodiscard]] std::uint64_t received_from(std::size_t sender) const { return sources_[sender].received; }
  [[nodiscard]] const ReceiverCounts& counts() const { return counts_; }
  [[nodiscard]] const Histogram& latency() const { return *latency_; }  ///< in ticks of 16 TSC cycles
  [[nodiscard]] const Gap& longest_gap() const { return longest_gap_; }

 private:
  /// What is kept for one sender to this VM.
  struct Source {
    bool expected = false;
    bool heard = false;
    std::uint64_t received = 0;
    std::unique_ptr<SequenceTable> flows;
    std::unique_ptr<SequenceTable> new_flows;  ///< as one flow, of which each new flow is a number
  };

  std::uint32_t poll_queue(std::uint16_t queue);
  [[nodiscard]] bool is_mine(const Probe& probe) const;
  void count(const Probe& probe, std::uint32_t length, std::uint64_t now);
  void came(std::uint64_t now);

  std::uint8_t number_;
  std::uint16_t port_;
  std::uint16_t queues_;
  std::uint32_t flows_;
  bool takes_broadcast_;
  bool expects_any_ = false;
  bool sending_ = false;
  std::uint8_t run_ = 0;
  std::uint64_t last_ = 0;
  Gap longest_gap_;
  Gap interval_gap_;
  ReceiverCounts counts_;
  std::vector<std::uint64_t> interval_frames_;  ///< of this run, by queue
  FrameReader reader_;
  std::vector<Source> sources_;
  std::unique_ptr<Histogram> latency_ = std::make_unique<Histogram>();
};

}  // namespace sluice::vmgen
