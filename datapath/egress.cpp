#include "datapath/egress.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

#include "datapath/checksum.hpp"
#include "datapath/segment.hpp"
#include "datapath/tx_lock.hpp"

namespace sluice::datapath {

namespace {

using ports::DropReason;
using ports::Frame;
using ports::Offload;

void drop_staged(Frame& frame, DropReason reason, ports::PortCounters& counters) {
  --frame.outputs;
  counters.drop(reason);
}

/// 0 to queues - 1, by the hash's upper bits: the flow table uses the lower ones.
std::size_t queue_of(std::uint32_t flow_hash, std::size_t queues) { return (flow_hash * queues) >> 32U; }

}  // namespace

Egress::Egress(ports::Notifier& notifier)
    : notifier_(notifier),
      batches_(std::make_unique_for_overwrite<Batch[]>(flowtable::kMaxPorts)),
      copies_(std::make_unique_for_overwrite<FrameSlot[]>(kCopies)),
      segments_(std::make_unique_for_overwrite<FrameSlot[]>(kSegmentSlots)) {
  std::iota(copy_order_.begin(), copy_order_.end(), std::uint16_t{0});
}

void Egress::drop_unsendable(flowtable::PortId port, ports::PortCounters& in_counters, std::size_t frames) const {
  if (port < view_->tx.size() && view_->tx[port].max_frame != 0) {
    view_->counters[port]->drop(DropReason::tx_not_connected, frames);
  } else {
    in_counters.drop(DropReason::port_gone, frames);
  }
}

void Egress::transmit(flowtable::PortId port) {
  const TxPort& tx = view_->tx[port];
  ports::PortCounters& counters = *view_->counters[port];
  const Batch& batch = batches_[port];
  const std::size_t count = std::exchange(counts_[port], std::uint16_t{0});
  notifier_.make_room();
  const auto lock = tx.lock != nullptr ? std::unique_lock(*tx.lock) : std::unique_lock<TxLock>();

  if (tx.queues.size() == 1) {
    transmit_to(tx.queues.front(), tx.max_frame, {batch.frames.data(), count}, counters);
    return;
  }
  std::array<Frame*, kBatch> frames;
  for (std::size_t queue = 0; queue < tx.queues.size(); ++queue) {
    std::size_t chosen = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (queue_of(batch.hashes[i], tx.queues.size()) == queue) frames[chosen++] = batch.frames[i];
    }
    if (chosen != 0) transmit_to(tx.queues[queue], tx.max_frame, {frames.data(), chosen}, counters);
  }
}

void Egress::transmit_to(const ports::TxQueue& queue, std::uint32_t max_frame, std::span<Frame* const> frames,
                         ports::PortCounters& counters) {
  const bool as_they_are = std::all_of(frames.begin(), frames.end(), [max_frame](const Frame* frame) {
    return frame->size <= max_frame && frame->offload.gso_type == Offload::kGsoNone && !frame->offload.needs_csum();
  });
  if (as_they_are) {
    queue.transmit(frames, counters, notifier_);
  } else {
    adapt_and_transmit(queue, max_frame, frames, counters);
  }
}

void Egress::adapt_and_transmit(const ports::TxQueue& queue, std::uint32_t max_frame, std::span<Frame* const> frames,
                                ports::PortCounters& counters) {
  const ports::TxCapabilities can = queue.capabilities();
  std::array<Frame*, kBatch> ready;
  std::size_t count = 0;
  const auto transmit_ready = [&] {
    if (count != 0) queue.transmit({ready.data(), std::exchange(count, 0)}, counters, notifier_);
  };

  for (Frame* frame : frames) {
    const Offload& offload = frame->offload;
    if (offload.gso_type == Offload::kGsoNone) {
      if (frame->size > max_frame) {
        drop_staged(*frame, DropReason::tx_mtu, counters);
      } else if (offload.needs_csum() && !can.checksum && !complete_checksum(*frame)) {
        drop_staged(*frame, DropReason::tx_offload, counters);
      } else {
        ready[count++] = frame;
      }
      continue;
    }
    const auto layout = tcp_layout(*frame);
    if (!layout) {
      drop_staged(*frame, DropReason::tx_offload, counters);
    } else if (layout->payload + std::min<std::uint32_t>(layout->payload_size, offload.gso_size) > max_frame) {
      drop_staged(*frame, DropReason::tx_mtu, counters);
    } else if (can.checksum && (layout->ipv6 ? can.tso6 : can.tso4)) {
      ready[count++] = frame;
    } else {
      transmit_ready();
      segment_and_transmit(queue, *frame, *layout, !can.checksum, counters);
    }
  }
  transmit_ready();
}

void Egress::segment_and_transmit(const ports::TxQueue& queue, Frame& frame, const TcpLayout& layout,
                                  bool finish_checksums, ports::PortCounters& counters) {
  Segmenter segmenter(frame, layout);
  std::uint64_t made = 0;
  while (!segmenter.done()) {
    std::array<Frame*, kSegmentSlots> ready;
    std::size_t count = 0;
    for (; count < kSegmentSlots && !segmenter.done(); ++count) {
      FrameSlot& slot = segments_[count];
      segmenter.next(slot);
      // Cannot fail: the segmenter has put the field in the head.
      if (finish_checksums) static_cast<void>(complete_checksum(slot.frame));
      slot.frame.outputs = 1;
      ready[count] = &slot.frame;
    }
    queue.transmit({ready.data(), count}, counters, notifier_);
    made += count;
  }
  --frame.outputs;
  counters.segments.add(made - 1);
}

Frame& Egress::copy_of(Frame& frame) {
  if (copies_used_ < kCopies) {
    FrameSlot& slot = copies_[copy_order_[copies_used_++]];
    clone(frame, slot);
    slot.frame.outputs = 1;
    return slot.frame;
  }
  // Once nothing is staged, the frame itself may be changed; if it is a copy, it stays in use.
  flush();
  const auto slot = std::find_if(copy_order_.begin(), copy_order_.end(),
                                 [&](std::uint16_t i) { return &copies_[i].frame == &frame; });
  if (slot != copy_order_.end()) {
    std::swap(*slot, copy_order_.front());
    copies_used_ = 1;
  }
  return frame;
}

}  // namespace sluice::datapath
