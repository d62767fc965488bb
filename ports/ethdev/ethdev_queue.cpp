#include "ports/ethdev/ethdev_queue.hpp"

#include <algorithm>
#include <array>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "ports/ethdev/device_offload.hpp"
#include "ports/ethdev/pacer.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::ports::ethdev {

namespace {

constexpr std::uint16_t kTxBatch = 64;
/// Of a pool, the part (one in so many) that stays out of other ports' Tx rings.
constexpr std::uint32_t kKeptFree = 8;

/// Whether an mbuf may stay in this queue's ring, where drivers leave what they have sent until they need the room. The
/// last of another port's buffers are not for that: with all of them in Tx rings it would never receive again.
bool can_keep(const EthdevQueue& queue, const rte_mbuf& mbuf) {
  return mbuf.pool == queue.pool ||
         rte_mempool_get_ops(mbuf.pool->ops_index)->get_count(mbuf.pool) >= mbuf.pool->size / kKeptFree;
}

/// The mbuf that a frame leaves in: its own at its last transmit, else a copy.
rte_mbuf* mbuf_of(Frame& frame, const EthdevQueue& queue) {
  --frame.outputs;
  const bool own = frame.outputs == 0 && frame.mbuf != nullptr && (queue.chains || frame.rest_count == 0) &&
                   can_keep(queue, *frame.mbuf);
  return own ? take_mbuf(frame, queue.pool) : to_mbuf(frame, queue.pool);
}

/// Puts frames into mbufs that are ready for the device. Returns how many; the others are counted and gone.
std::uint16_t gather(EthdevQueue& queue, std::span<Frame* const> frames, std::span<rte_mbuf*> mbufs,
                     PortCounters& counters) {
  std::uint16_t count = 0;
  bool offloads = false;
  for (Frame* frame : frames) {
    // What is asked for, before the mbuf is taken and the frame with it.
    const Offload offload = frame->offload;
    const std::uint16_t l3_offset = frame->l3_offset;
    const std::uint16_t l4_offset = frame->l4_offset;
    rte_mbuf* const mbuf = mbuf_of(*frame, queue);
    if (mbuf == nullptr) {
      counters.drop(DropReason::tx_no_memory);
    } else if (!ask_device(*mbuf, offload, l3_offset, l4_offset)) {
      counters.drop(DropReason::tx_offload);
      rte_pktmbuf_free(mbuf);
    } else {
      offloads |= mbuf->ol_flags != 0;
      mbufs[count++] = mbuf;
    }
  }
  if (!offloads) [[likely]]
    return count;

  // The driver checks what it is asked for and lays the pseudo header's sum out as its device wants it.
  std::uint16_t ready = 0;
  while (ready < count) {
    const auto left = static_cast<std::uint16_t>(count - ready);
    ready = static_cast<std::uint16_t>(
        ready + rte_eth_tx_prepare(queue.device, queue.queue, mbufs.subspan(ready).data(), left));
    if (ready == count) break;
    rte_pktmbuf_free(mbufs[ready]);
    counters.drop(DropReason::tx_offload);
    std::copy(mbufs.begin() + ready + 1, mbufs.begin() + count, mbufs.begin() + ready);
    --count;
  }
  return count;
}

std::uint64_t bytes_of(std::span<rte_mbuf* const> mbufs) {
  std::uint64_t bytes = 0;
  for (const rte_mbuf* mbuf : mbufs) bytes += mbuf->pkt_len;
  return bytes;
}

}  // namespace

void receive(EthdevQueue& queue, Burst& burst, PortCounters& counters) {
  std::array<rte_mbuf*, kBurstSize> mbufs;
  const std::uint16_t count = queue.pacer != nullptr
                                  ? queue.pacer->take(queue.device, queue.queue, mbufs)
                                  : rte_eth_rx_burst(queue.device, queue.queue, mbufs.data(), kBurstSize);
  burst.clear();
  if (count == 0) return;

  std::uint64_t bytes = 0;
  for (rte_mbuf* mbuf : std::span(mbufs.data(), count)) {
    bytes += mbuf->pkt_len;
    if (mbuf->pkt_len > kMaxFrameSize) [[unlikely]] {
      counters.drop(DropReason::rx_too_long);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    const std::uint64_t rx_flags = mbuf->ol_flags;
    Frame& frame = burst.frames[burst.count];
    if (const auto reason = from_mbuf(mbuf, std::span(burst.segments).subspan(burst.segment_count), frame)) {
      counters.drop(*reason);
      continue;
    }
    if ((rx_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
      frame.offload.flags = Offload::kDataValid;
    }
    burst.segment_count += frame.rest_count;
    ++burst.count;
  }
  counters.rx_packets.add(count);
  counters.rx_bytes.add(bytes);
}

void release(EthdevQueue& /*queue*/, Burst& burst) {
  for (Frame& frame : burst.view()) {
    if (frame.mbuf != nullptr) rte_pktmbuf_free(frame.mbuf);
  }
  burst.clear();
}

void transmit(EthdevQueue& queue, std::span<Frame* const> frames, PortCounters& counters) {
  while (!frames.empty()) {
    const std::size_t part = std::min<std::size_t>(frames.size(), kTxBatch);
    std::array<rte_mbuf*, kTxBatch> mbufs;
    const std::uint16_t count = gather(queue, frames.first(part), mbufs, counters);
    frames = frames.subspan(part);

    const std::span ready(mbufs.data(), count);
    const std::uint64_t bytes = bytes_of(ready);
    std::uint16_t sent = rte_eth_tx_burst(queue.device, queue.queue, ready.data(), count);
    if (sent < count) [[unlikely]] {
      // Once more, as the first try may have made room by collecting what was sent before; and not again.
      sent = static_cast<std::uint16_t>(sent + rte_eth_tx_burst(queue.device, queue.queue, ready.data() + sent,
                                                                static_cast<std::uint16_t>(count - sent)));
    }
    const std::span unsent = ready.subspan(sent);
    counters.tx_packets.add(sent);
    counters.tx_bytes.add(bytes - bytes_of(unsent));
    if (!unsent.empty()) {
      counters.drop(DropReason::tx_ring_full, unsent.size());
      rte_pktmbuf_free_bulk(unsent.data(), static_cast<unsigned>(unsent.size()));
    }
  }
}

}  // namespace sluice::ports::ethdev
