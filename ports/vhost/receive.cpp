// receive and release: from a guest's transmit queue to frames, and back.
//
// A frame's first bytes are copied into private memory here; the rest stays in the guest's buffers until transmit
// copies it to where it goes. The chains are given back by release, all at once, after the burst was executed.
#include <algorithm>
#include <array>
#include <cstring>

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
  frame.offload = Offload{};
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

/// Makes the next frame of the burst out of a chain's pieces; counts and drops what cannot be one.
void add_frame(const Vring& vring, std::span<const Piece> pieces, const Walk& walk, Burst& burst,
               PortCounters& counters) {
  if (walk.error != ChainError::none || walk.size <= vring.net_header_size) {
    counters.drop(walk.error == ChainError::too_long ? DropReason::rx_chain_too_long : DropReason::rx_bad_descriptor);
    return;
  }
  const std::uint32_t size = walk.size - vring.net_header_size;
  counters.rx_bytes.add(size);
  if (size > kMaxFrameSize) {
    counters.drop(DropReason::rx_too_long);
    return;
  }
  if (!vring.enabled) {
    counters.drop(DropReason::rx_queue_disabled);
    return;
  }
  Frame& frame = burst.frames[burst.count];
  frame.head = burst.heads[burst.count].head();
  frame.size = size;
  frame.head_size = std::min(size, kHeadSize);

  NetHeader header{};
  PieceReader reader(pieces);
  reader.read(reinterpret_cast<std::uint8_t*>(&header), vring.net_header_size);
  reader.read(frame.head, frame.head_size);
  private_copy_done();
  if (!take_offload(vring, header, frame)) {
    counters.drop(DropReason::rx_bad_offload);
    return;
  }
  frame.rest = burst.segments.data() + burst.segment_count;
  frame.rest_count = reader.rest(burst);
  frame.l3_offset = frame.l4_offset = frame.outputs = 0;
  frame.mbuf = nullptr;
  ++burst.count;
}

template <typename Ring>
void receive_from(VhostQueue& queue, const Vring& vring, Burst& burst, PortCounters& counters) {
  Ring ring(queue, vring, *vring.position);
  const unsigned ready = ring.ready(kBurstSize);
  if (ready == 0) return;
  ring.prefetch(ready);

  // Chains of one descriptor, which is nearly all of them, are translated first, so that their bytes are on their
  // way into the cache before the first is read.
  struct Taken {
    typename Ring::Mark before;
    typename Ring::Chain chain;
    Piece piece;  ///< data is null if the chain has to be walked
  };
  std::array<Taken, kBurstSize> taken;
  unsigned count = 0;
  for (; count < ready && ring.more(); ++count) {
    Taken& t = taken[count];
    t.before = ring.mark();
    t.chain = ring.take();
    t.piece = Piece{nullptr, t.chain.first.len, t.chain.first.addr};
    if (!t.chain.valid) {
      if (!Ring::resumable()) break;
      continue;
    }
    if ((t.chain.flags() & (kDescNext | kDescIndirect | kDescWrite)) == 0 && t.chain.first.len != 0) {
      t.piece.data = vring.memory->translate(t.chain.first.addr, t.chain.first.len, queue.region_hint);
      if (t.piece.data == nullptr) continue;  // the walk will say what is wrong with it
      __builtin_prefetch(t.piece.data);
      __builtin_prefetch(t.piece.data + 64);
    }
  }

  std::array<Piece, kMaxSegments> pieces;
  for (unsigned i = 0; i < count; ++i) {
    const Taken& t = taken[i];
    if (!t.chain.valid) {  // nothing to give back: the descriptor does not exist
      queue.guest_errors.add();
      counters.rx_packets.add();
      counters.drop(DropReason::rx_bad_descriptor);
      continue;
    }
    Walk walk{ChainError::none, 1, t.piece.size};
    std::span<const Piece> chain_pieces(&t.piece, 1);
    if (t.piece.data == nullptr) {
      walk = ring.walk(t.chain, Direction::from_driver, pieces);
      chain_pieces = std::span<const Piece>(pieces.data(), walk.pieces);
      if (walk.error != ChainError::none) queue.guest_errors.add();
    }
    if (burst.segment_count + walk.pieces > Burst::kSegments) {
      // No room to borrow more pieces in this burst: this chain and those behind it are left for the next.
      ring.rewind(t.before);
      break;
    }
    counters.rx_packets.add();
    burst.borrowed[burst.borrowed_count++] = Borrowed{t.chain.id, t.chain.descriptors};
    add_frame(vring, chain_pieces, walk, burst, counters);
  }
  if (burst.borrowed_count == 0) {  // heads that do not exist are behind us, and nothing will be released
    *vring.position = ring.position();
    return;
  }
  queue.taken = ring.position();
  queue.receiving = &vring;
}

template <typename Ring>
void release_to(VhostQueue& queue, const Vring& vring, const Burst& burst) {
  Ring ring(queue, vring, *vring.position);
  for (unsigned i = 0; i < burst.borrowed_count; ++i) ring.use(burst.borrowed[i].id, burst.borrowed[i].descriptors, 0);
  const bool used = ring.publish();
  RingPosition position = ring.position();
  position.next_avail = queue.taken.next_avail;
  position.avail_wrap = queue.taken.avail_wrap;
  *vring.position = position;
  if (used && ring.interrupt_wanted()) interrupt(queue, vring);
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

void release(VhostQueue& queue, Burst& burst) {
  const Vring* vring = queue.receiving;
  if (vring == nullptr) return;
  vring->packed ? release_to<PackedRing>(queue, *vring, burst) : release_to<SplitRing>(queue, *vring, burst);
  queue.receiving = nullptr;
}

}  // namespace sluice::ports::vhost
