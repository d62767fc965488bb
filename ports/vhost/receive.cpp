// receive and release: from a guest's transmit queue to frames, and back.
//
// A frame's first bytes are copied into private memory here; the rest stays in the guest's buffers until transmit
// copies it to where it goes. The chains are given back by release, all at once, after the burst was executed.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>

#include "ports/vhost/copy.hpp"
#include "ports/vhost/notify.hpp"
#include "ports/vhost/packed_ring.hpp"
#include "ports/vhost/split_ring.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {
namespace {

/// The smallest segment that is believed: Linux's TCP_MIN_SND_MSS. Anything less makes a 64 KiB frame into thousands
/// of segments, work that a guest could put on the PMD for the price of one frame.
constexpr std::uint16_t kMinGsoSize = 48;
constexpr std::uint32_t kEthernetHeaderSize = 14;
constexpr std::uint32_t kTcpHeaderSize = 20;

/// Reads bytes that may lie across pieces; what is read is private.
class PieceReader {
 public:
  explicit PieceReader(std::span<const Piece> pieces) : pieces_(pieces) {}

  /// False if there are fewer than n bytes.
  bool read(std::uint8_t* to, std::uint32_t n) {
    while (n != 0) {
      if (piece_ == pieces_.size()) return false;
      const std::uint32_t part = std::min(n, pieces_[piece_].size - offset_);
      copy_bytes(to, pieces_[piece_].data + offset_, part);
      to += part;
      n -= part;
      offset_ += part;
      if (offset_ == pieces_[piece_].size) {
        ++piece_;
        offset_ = 0;
      }
    }
    return true;
  }

  /// What has not been read, as borrowed segments at the end of the burst's.
  std::uint16_t rest(Burst& burst) {
    std::uint16_t count = 0;
    for (; piece_ != pieces_.size(); ++piece_, offset_ = 0, ++count) {
      burst.segments[burst.segment_count++] = Segment{pieces_[piece_].data + offset_, pieces_[piece_].size - offset_};
    }
    return count;
  }

 private:
  std::span<const Piece> pieces_;
  std::size_t piece_ = 0;
  std::uint32_t offset_ = 0;
};

/// Takes over what the guest asks to be done with the frame, as far as that was negotiated. False if it cannot be.
bool take_offload(const Vring& vring, const NetHeader& header, Frame& frame) {
  const bool needs_csum = (header.flags & Offload::kNeedsCsum) != 0 && vring.tx_csum;
  if (!needs_csum) return header.gso_type == Offload::kGsoNone || !vring.tx_csum;
  if (header.csum_start < kEthernetHeaderSize ||
      std::uint32_t{header.csum_start} + header.csum_offset + 2 > frame.size) {
    return false;
  }
  frame.offload.flags = Offload::kNeedsCsum;
  frame.offload.csum_start = header.csum_start;
  frame.offload.csum_offset = header.csum_offset;
  if (header.gso_type == Offload::kGsoNone) return true;

  const bool allowed = (header.gso_type == Offload::kGsoTcpV4 && vring.tx_tso4) ||
                       (header.gso_type == Offload::kGsoTcpV6 && vring.tx_tso6);
  if (!allowed || header.gso_size < kMinGsoSize || header.csum_start + kTcpHeaderSize > frame.size) return false;
  frame.offload.gso_type = header.gso_type;
  frame.offload.gso_size = header.gso_size;
  frame.offload.hdr_len = header.hdr_len;
  return true;
}

/// Makes frames of chains; counts and drops what cannot be one.
class FrameMaker {
 public:
  FrameMaker(const Vring& vring, Burst& burst, PortCounters& counters)
      : vring_(vring), burst_(burst), counters_(counters) {}
  ~FrameMaker() {
    counters_.rx_packets.add(packets_);
    counters_.rx_bytes.add(bytes_);
  }
  FrameMaker(const FrameMaker&) = delete;
  FrameMaker& operator=(const FrameMaker&) = delete;

  /// Nearly every chain: one descriptor, its header and frame in one place. Takes those that were found ahead.
  template <typename Ring>
  void add(Ring& ring, LookAhead& ahead) {
    // What the loop reads and writes is its own until the end: all else may be changed by a store to guest memory.
    const std::uint32_t header_size = vring_.net_header_size;
    const bool may_offload = vring_.tx_csum;
    const bool enabled = vring_.enabled;
    unsigned frames = burst_.count;
    unsigned segments = burst_.segment_count;
    unsigned borrowed = burst_.borrowed_count;
    std::uint64_t bytes = 0;
    const auto add_one = [&](const Ring&, const Buffer& buffer, const Buffer&) {
      burst_.borrowed[borrowed++] = Borrowed{buffer.id, 1};
      const std::uint32_t size = buffer.size - header_size;  // wraps if there is less than a header
      if (size - 1 >= kMaxFrameSize || !enabled) [[unlikely]] {
        refuse(buffer.size);
        return true;
      }
      bytes += size;
      Frame& frame = burst_.frames[frames];
      std::uint8_t* const head = burst_.heads[frames].head();
      const std::uint32_t head_size = std::min(size, kHeadSize);
      const std::uint8_t* const from = buffer.data + header_size;
      copy_bytes(head, from, head_size);
      fill(frame, head, size);
      // Not negotiated, the header says nothing (section 5.1.6.2), and may be on a line of its own, in the guest's
      // cache.
      if (may_offload && !take_offload_at(buffer.data, frame)) [[unlikely]] {
        counters_.drop(DropReason::rx_bad_offload);
        return true;
      }
      if (size > head_size) {
        burst_.segments[segments] = Segment{from + head_size, size - head_size};
        frame.rest = &burst_.segments[segments++];
        frame.rest_count = 1;
      }
      ++frames;
      return true;
    };
    packets_ += ahead.use<Direction::from_driver>(
        vring_, ring, std::min(kBurstSize - packets(), Burst::kSegments - segments), add_one);
    private_copy_done();
    burst_.count = frames;
    burst_.segment_count = segments;
    burst_.borrowed_count = borrowed;
    bytes_ += bytes;
  }

  /// Any other.
  void add(std::span<const Piece> pieces, const Walk& walk) {
    ++packets_;
    if (walk.error != ChainError::none) {
      counters_.drop(walk.error == ChainError::too_long ? DropReason::rx_chain_too_long
                                                        : DropReason::rx_bad_descriptor);
      return;
    }
    const std::uint32_t size = walk.size - vring_.net_header_size;  // wraps if there is less than a header
    if (size - 1 >= kMaxFrameSize || !vring_.enabled) {
      refuse(walk.size);
      return;
    }
    bytes_ += size;
    Frame& frame = burst_.frames[burst_.count];
    NetHeader header{};
    PieceReader reader(pieces);
    reader.read(reinterpret_cast<std::uint8_t*>(&header), vring_.net_header_size);
    std::uint8_t* const head = burst_.heads[burst_.count].head();
    reader.read(head, std::min(size, kHeadSize));
    private_copy_done();
    fill(frame, head, size);
    if (!take_offload(vring_, header, frame)) {
      counters_.drop(DropReason::rx_bad_offload);
      return;
    }
    frame.rest = &burst_.segments[burst_.segment_count];
    frame.rest_count = reader.rest(burst_);
    ++burst_.count;
  }

  /// A head that does not exist.
  void add_nothing() {
    ++packets_;
    counters_.drop(DropReason::rx_bad_descriptor);
  }
  [[nodiscard]] unsigned packets() const { return static_cast<unsigned>(packets_); }

 private:
  /// A chain whose size is not that of a header and a frame, or any of a ring that is not enabled.
  void refuse(std::uint32_t chain_size) {
    if (chain_size <= vring_.net_header_size) {
      counters_.drop(DropReason::rx_bad_descriptor);
      return;
    }
    bytes_ += chain_size - vring_.net_header_size;
    counters_.drop(chain_size - vring_.net_header_size > kMaxFrameSize ? DropReason::rx_too_long
                                                                       : DropReason::rx_queue_disabled);
  }

  /// A frame of `size` bytes, the first of them in `head`; its rest, if there is any, is yet to be said.
  static void fill(Frame& frame, std::uint8_t* head, std::uint32_t size) {
    frame = Frame{.head = head,
                  .head_size = std::min(size, kHeadSize),
                  .size = size,
                  .rest = nullptr,
                  .rest_count = 0,
                  .l3_offset = 0,
                  .l4_offset = 0,
                  .outputs = 0,
                  .offload = {},
                  .mbuf = nullptr};
  }

  /// Of a header in guest memory.
  [[nodiscard]] bool take_offload_at(const std::uint8_t* from, Frame& frame) const {
    NetHeader header{};
    std::memcpy(&header, from, kLegacyNetHeaderSize);  // behind that it is ours to write only
    private_copy_done();
    return take_offload(vring_, header, frame);
  }

  const Vring& vring_;
  Burst& burst_;
  PortCounters& counters_;
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
};

/// Takes a chain that is not plain. False if there is no room for its pieces in this burst, or no way on behind it.
template <typename Ring>
bool receive_chain(Ring& ring, VhostQueue& queue, Burst& burst, FrameMaker& frames) {
  const auto before = ring.mark();
  const auto chain = ring.take();
  if (!chain.valid) {  // nothing to give back: the descriptor does not exist
    queue.guest_errors.add();
    frames.add_nothing();
    return Ring::resumable();
  }
  std::array<Piece, kMaxSegments> pieces;
  const Walk walk = ring.walk(chain, Direction::from_driver, pieces);
  if (burst.segment_count + walk.pieces > Burst::kSegments) {
    ring.rewind(before);
    return false;
  }
  if (walk.error != ChainError::none) queue.guest_errors.add();
  burst.borrowed[burst.borrowed_count++] = Borrowed{chain.id, chain.descriptors};
  frames.add(std::span<const Piece>(pieces).first(walk.pieces), walk);
  return true;
}

template <typename Ring>
void receive_from(VhostQueue& queue, const Vring& vring, Burst& burst, PortCounters& counters) {
  LookAhead& ahead = queue.ahead;
  ahead.use_for(vring.serial);
  Ring ring(queue, vring, vring.progress->position);
  ring.skip(ahead.size());
  ring.look();
  if (ahead.size() == 0 && !ring.more()) return;

  FrameMaker frames(vring, burst, counters);
  while (frames.packets() != kBurstSize && burst.segment_count != Burst::kSegments) {
    if (ahead.size() == 0) {
      if (!ring.more()) break;
      ahead.find<Direction::from_driver>(vring, ring);
      if (ahead.size() == 0 && !receive_chain(ring, queue, burst, frames)) break;
      continue;
    }
    frames.add(ring, ahead);
  }
  const RingPosition taken = ring.position(ahead.size());
  if (burst.borrowed_count == 0) {  // heads that do not exist are behind us, and nothing will be released
    ring.settle(taken);
    return;
  }
  queue.taken = taken;
  queue.receiving = &vring;
}

template <typename Ring>
void release_to(VhostQueue& queue, const Vring& vring, const Burst& burst, Notifier& notifier) {
  const RingPosition before = vring.progress->position;
  Ring ring(queue, vring, {queue.taken.next_avail, before.next_used, queue.taken.avail_wrap, before.used_wrap, 0});
  const std::span borrowed(burst.borrowed.data(), burst.borrowed_count);
  if (vring.in_order) {
    // The last one's id says that those before it were used as well (sections 2.7.9 and 2.8.8).
    const auto slots = std::accumulate(borrowed.begin(), borrowed.end(), 0U,
                                       [](unsigned sum, const Borrowed& b) { return sum + b.descriptors; });
    ring.use(UsedChain{borrowed.back().id, static_cast<std::uint16_t>(slots), 0});
  } else {
    for (const Borrowed& b : borrowed) ring.use(UsedChain{b.id, b.descriptors, 0});
  }
  ring.publish();
  const RingPosition after = ring.position(0);
  ring.settle(after);
  notifier.published(queue, vring, before, after);
}

}  // namespace

void receive(VhostQueue& queue, Burst& burst, PortCounters& counters) {
  burst.clear();
  queue.receiving = nullptr;
  // acquire: what the vring points to was written before it was published.
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr || queue.broken) return;
  vring->packed ? receive_from<PackedRing>(queue, *vring, burst, counters)
                : receive_from<SplitRing>(queue, *vring, burst, counters);
}

void release(VhostQueue& queue, Burst& burst, Notifier& notifier) {
  const Vring* vring = queue.receiving;
  if (vring == nullptr) return;
  vring->packed ? release_to<PackedRing>(queue, *vring, burst, notifier)
                : release_to<SplitRing>(queue, *vring, burst, notifier);
  queue.receiving = nullptr;
}

}  // namespace sluice::ports::vhost
