// Egress: what a PMD has to transmit at the end of a burst, gathered by port.
//
// Frames are staged as references and leave in batches, one transmit a port and queue; the order of a port's frames
// is the order they were staged in. What a port cannot do itself is done here, in software, just before: checksums
// and TCP segmentation. Owned and used by one PMD. Nothing is allocated after construction.
//
// Staged frames must stay as they are until flush(). execute() keeps to that: before it changes a frame that is staged
// already, it goes on with a copy of the head (writable()).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "datapath/frame_slot.hpp"
#include "datapath/view.hpp"
#include "flowtable/flow_key.hpp"
#include "ports/counters.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

class Egress {
 public:
  /// The most frames that are staged for one port; those that come then make room by transmitting them.
  static constexpr unsigned kBatch = 2 * ports::kBurstSize;

  /// Guests are told by `notifier`, which outlives this.
  explicit Egress(ports::Notifier& notifier);

  /// Starts a burst. `view` is used until flush() and must have counters for each port in `tx`.
  void begin(const PortView& view) { view_ = &view; }

  /// Stages `frames`, at most kBurstSize of one flow, for `port`. A port that is not there drops them, counted at the
  /// in-port; one that nobody is connected to, counted there.
  void output(std::span<ports::Frame* const> frames, flowtable::PortId port, std::uint32_t flow_hash,
              ports::PortCounters& in_counters) {
    if (port >= view_->tx.size() || view_->tx[port].queues.empty()) [[unlikely]] {
      drop_unsendable(port, in_counters, frames.size());
      return;
    }
    std::size_t staged = counts_[port];
    if (staged == 0) {
      active_[active_count_++] = port;
      view_->tx[port].queues.front().expect();
    } else if (staged + frames.size() > kBatch) [[unlikely]] {
      transmit(port);
      staged = 0;
    }
    Batch& batch = batches_[port];
    for (ports::Frame* frame : frames) {
      batch.frames[staged] = frame;
      batch.hashes[staged] = flow_hash;
      ++frame->outputs;
      ++staged;
    }
    counts_[port] = static_cast<std::uint16_t>(staged);
  }

  /// Transmits all that is staged. Afterwards no frame is referred to; mbufs that were not taken are still the frames'.
  void flush() {
    for (unsigned i = 0; i < active_count_; ++i) transmit(active_[i]);
    active_count_ = 0;
    copies_used_ = 0;
  }

  /// For execute, which holds one of frame.outputs itself: a frame with the same bytes whose head may be changed.
  /// That is `frame` if it is not staged, and else a copy, of which execute holds one output as well. `frame` keeps
  /// the output that execute held: its mbuf stays where the copy's rest needs it, until the burst is released.
  [[nodiscard]] ports::Frame& writable(ports::Frame& frame) { return frame.outputs == 1 ? frame : copy_of(frame); }

 private:
  struct Batch {
    std::array<ports::Frame*, kBatch> frames;
    std::array<std::uint32_t, kBatch> hashes;
  };
  /// Copies of heads that may be staged at a time; when they are used up, what is staged is transmitted first.
  static constexpr unsigned kCopies = 64;
  /// Segments that are made before they are transmitted.
  static constexpr unsigned kSegmentSlots = ports::kBurstSize;

  void drop_unsendable(flowtable::PortId port, ports::PortCounters& in_counters, std::size_t frames) const;
  void transmit(flowtable::PortId port);
  void transmit_to(const ports::TxQueue& queue, std::uint32_t max_frame, std::span<ports::Frame* const> frames,
                   ports::PortCounters& counters);
  void adapt_and_transmit(const ports::TxQueue& queue, std::uint32_t max_frame, std::span<ports::Frame* const> frames,
                          ports::PortCounters& counters);
  void segment_and_transmit(const ports::TxQueue& queue, ports::Frame& frame, const struct TcpLayout& layout,
                            bool finish_checksums, ports::PortCounters& counters);
  [[nodiscard]] ports::Frame& copy_of(ports::Frame& frame);

  ports::Notifier& notifier_;
  const PortView* view_ = nullptr;
  unsigned active_count_ = 0;
  unsigned copies_used_ = 0;
  std::array<flowtable::PortId, flowtable::kMaxPorts> active_;  ///< ports with something staged
  std::array<std::uint16_t, flowtable::kMaxPorts> counts_{};    ///< staged frames, by PortId
  std::unique_ptr<Batch[]> batches_;                            ///< by PortId; touched only if used
  std::unique_ptr<FrameSlot[]> copies_;
  std::array<std::uint16_t, kCopies> copy_order_;  ///< the first copies_used_ are in use
  std::unique_ptr<FrameSlot[]> segments_;
};

}  // namespace sluice::datapath
