// transmit: from frames to a guest's receive queue. This is where the one copy between two guests happens: from the
// sender's buffers straight into the receiver's.
//
// Never waits. A ring without buffers is looked at once more, and then the frame is dropped and counted.
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

/// The most chains that one frame may be spread over (MRG_RXBUF): 64 KiB into buffers of 1.5 KiB are 43.
constexpr unsigned kMaxChainsPerFrame = 128;

/// Writes bytes that may have to lie across pieces.
class PieceWriter {
 public:
  PieceWriter(std::span<const Piece> pieces, DirtyLog* log) : pieces_(pieces), log_(log) {}

  /// The pieces have room for it: the caller has added them up.
  void write(const std::uint8_t* from, std::uint32_t n) {
    while (n != 0) {
      const Piece& piece = pieces_[piece_];
      const std::uint32_t part = std::min(n, piece.size - offset_);
      copy_bytes(piece.data + offset_, from, part);
      if (log_ != nullptr) [[unlikely]]
        log_->mark(piece.guest_phys_addr + offset_, part);
      from += part;
      n -= part;
      offset_ += part;
      if (offset_ == piece.size) {
        ++piece_;
        offset_ = 0;
      }
    }
  }

 private:
  std::span<const Piece> pieces_;
  DirtyLog* log_;
  std::size_t piece_ = 0;
  std::uint32_t offset_ = 0;
};

NetHeader net_header(const Vring& vring, const Frame& frame, std::uint16_t chains) {
  NetHeader header{};
  header.num_buffers = chains;
  if (!frame.offload.any()) return header;
  if (frame.offload.needs_csum() || vring.rx_csum) header.flags = frame.offload.flags;
  header.gso_type = frame.offload.gso_type;
  header.hdr_len = frame.offload.hdr_len;
  header.gso_size = frame.offload.gso_size;
  header.csum_start = frame.offload.csum_start;
  header.csum_offset = frame.offload.csum_offset;
  return header;
}

void write_frame(const Vring& vring, const Frame& frame, std::span<const Piece> pieces, std::uint16_t chains) {
  PieceWriter writer(pieces, vring.log);
  const NetHeader header = net_header(vring, frame, chains);
  writer.write(reinterpret_cast<const std::uint8_t*>(&header), vring.net_header_size);
  writer.write(frame.head, frame.head_size);
  for (const Segment& segment : std::span(frame.rest, frame.rest_count)) writer.write(segment.data, segment.size);
}

/// Whether the guest takes frames with this left to be done. Egress has seen to it, but of the ring as it was then: one
/// that was published since may be another guest's.
bool takes(const Vring& vring, const Offload& offload) {
  if (offload.needs_csum() && !vring.rx_csum) return false;
  switch (offload.gso_type) {
    case Offload::kGsoNone: return true;
    case Offload::kGsoTcpV4: return vring.rx_tso4;
    case Offload::kGsoTcpV6: return vring.rx_tso6;
    default: return false;
  }
}

/// The chains of the ring in order, the next few looked up ahead so that their memory is in the cache when it is
/// written.
template <typename Ring>
class Buffers {
 public:
  struct Buffer {
    typename Ring::Mark before;
    typename Ring::Chain chain;
    Piece piece;  ///< of a chain of one descriptor; data is null if it has to be walked
  };

  Buffers(Ring& ring, const Vring& vring, unsigned& hint) : ring_(ring), vring_(vring), hint_(hint) {}

  /// The next buffer; null if the driver has posted no more.
  const Buffer* next() {
    if (at_ == count_) look_ahead();
    return at_ == count_ ? nullptr : &ahead_[at_++];
  }
  /// Gives the last n buffers back that next() returned, unless a look ahead came between: then the ring itself goes
  /// back to `mark`.
  void put_back(typename Ring::Mark mark) {
    ring_.rewind(mark);
    at_ = count_ = 0;
  }
  /// Leaves what was looked at and not used for the next verb.
  void finish() {
    if (at_ != count_) put_back(ahead_[at_].before);
  }

 private:
  void look_ahead() {
    at_ = count_ = 0;
    const unsigned ready = ring_.ready(kBurstSize);
    ring_.prefetch(ready);
    while (count_ < ready && ring_.more()) {
      Buffer& b = ahead_[count_];
      b.before = ring_.mark();
      b.chain = ring_.take();
      b.piece = Piece{nullptr, b.chain.first.len, b.chain.first.addr};
      if (!b.chain.valid && !ring_.resumable()) break;
      ++count_;
      if (!b.chain.valid) continue;
      if ((b.chain.flags() & (kDescNext | kDescIndirect | kDescWrite)) == kDescWrite && b.chain.first.len != 0) {
        b.piece.data = vring_.memory->translate(b.chain.first.addr, b.chain.first.len, hint_);
        if (b.piece.data == nullptr) continue;  // the walk will say what is wrong with it
        prefetch_to_write(b.piece.data);
        prefetch_to_write(b.piece.data + 64);
      }
    }
  }

  Ring& ring_;
  const Vring& vring_;
  unsigned& hint_;
  unsigned at_ = 0;
  unsigned count_ = 0;
  std::array<Buffer, kBurstSize> ahead_;
};

/// What became of one frame.
enum class Placed : std::uint8_t { yes, ring_full, bad_descriptor, too_small };

template <typename Ring>
class Transmitter {
 public:
  Transmitter(VhostQueue& queue, const Vring& vring)
      : queue_(queue), vring_(vring), ring_(queue, vring, *vring.position), buffers_(ring_, vring, queue.region_hint) {}

  Placed place(const Frame& frame) {
    const std::uint32_t need = vring_.net_header_size + frame.size;
    const auto* buffer = buffers_.next();
    if (buffer == nullptr) return Placed::ring_full;
    if (buffer->piece.data != nullptr && buffer->piece.size >= need) [[likely]] {
      write_frame(vring_, frame, std::span(&buffer->piece, 1), 1);
      ring_.use(buffer->chain.id, buffer->chain.descriptors, need);
      return Placed::yes;
    }
    return place_in_pieces(frame, buffer, need);
  }

  void finish() {
    buffers_.finish();
    const bool used = ring_.publish();
    *vring_.position = ring_.position();
    if (used && ring_.interrupt_wanted()) interrupt(queue_, vring_);
  }

 private:
  /// A chain taken for a frame.
  struct Used {
    std::uint16_t id;
    std::uint16_t descriptors;
    std::uint32_t size;
  };

  /// A frame that one plain buffer does not hold: a chain of several descriptors, or several chains (MRG_RXBUF).
  Placed place_in_pieces(const Frame& frame, const typename Buffers<Ring>::Buffer* buffer, std::uint32_t need) {
    std::array<Used, kMaxChainsPerFrame> used;
    std::array<Piece, 2 * kMaxSegments> pieces;
    const typename Ring::Mark start = buffer->before;
    std::uint16_t chains = 0;
    std::uint32_t piece_count = 0;
    std::uint32_t room = 0;
    for (;;) {
      Walk walk{ChainError::none, 1, buffer->piece.size};
      if (buffer->piece.data != nullptr) {
        if (piece_count < pieces.size()) pieces[piece_count] = buffer->piece;
      } else if (buffer->chain.valid) {
        walk = ring_.walk(buffer->chain, Direction::to_driver, std::span(pieces).subspan(piece_count));
      }
      if (!buffer->chain.valid || walk.error != ChainError::none || piece_count + walk.pieces > pieces.size()) {
        return give_up_on(*buffer, std::span<const Used>(used.data(), chains));
      }
      piece_count += walk.pieces;
      used[chains++] = Used{buffer->chain.id, buffer->chain.descriptors, walk.size};
      room += walk.size;
      if (room >= need) break;
      if (!vring_.mergeable || chains == kMaxChainsPerFrame) {
        buffers_.put_back(start);
        return Placed::too_small;
      }
      buffer = buffers_.next();
      if (buffer == nullptr) {
        buffers_.put_back(start);
        return Placed::ring_full;
      }
    }
    write_frame(vring_, frame, std::span<const Piece>(pieces.data(), piece_count), chains);
    for (const Used& u : std::span<const Used>(used.data(), chains)) {
      const std::uint32_t written = std::min(u.size, need);
      ring_.use(u.id, u.descriptors, written);
      need -= written;
    }
    return Placed::yes;
  }

  /// A malformed chain is given back empty, so that the ring goes on behind it; so are those taken before it for the
  /// same frame.
  Placed give_up_on(const typename Buffers<Ring>::Buffer& bad, std::span<const Used> before) {
    queue_.guest_errors.add();
    for (const Used& u : before) ring_.use(u.id, u.descriptors, 0);
    if (bad.chain.valid) ring_.use(bad.chain.id, bad.chain.descriptors, 0);
    return Placed::bad_descriptor;
  }

  VhostQueue& queue_;
  const Vring& vring_;
  Ring ring_;
  Buffers<Ring> buffers_;
};

template <typename Ring>
void transmit_to(VhostQueue& queue, const Vring& vring, std::span<Frame* const> frames, PortCounters& counters) {
  Transmitter<Ring> transmitter(queue, vring);
  std::uint64_t sent = 0;
  std::uint64_t bytes = 0;
  std::size_t i = 0;
  for (; i < frames.size(); ++i) {
    Frame& frame = *frames[i];
    if (frame.offload.any() && !takes(vring, frame.offload)) [[unlikely]] {
      --frame.outputs;
      counters.drop(DropReason::tx_offload);
      continue;
    }
    const Placed placed = transmitter.place(frame);
    if (placed == Placed::ring_full) break;
    --frame.outputs;
    if (placed == Placed::yes) {
      ++sent;
      bytes += frame.size;
    } else {
      counters.drop(placed == Placed::too_small ? DropReason::tx_buffer_too_small : DropReason::tx_bad_descriptor);
    }
  }
  transmitter.finish();
  counters.tx_packets.add(sent);
  counters.tx_bytes.add(bytes);
  if (i == frames.size()) return;
  counters.drop(DropReason::tx_ring_full, frames.size() - i);
  for (; i < frames.size(); ++i) --frames[i]->outputs;
}

}  // namespace

void transmit(VhostQueue& queue, std::span<Frame* const> frames, PortCounters& counters) {
  // acquire: what the vring points to was written before it was published.
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr || !vring->enabled || queue.broken) {
    counters.drop(DropReason::tx_not_connected, frames.size());
    for (Frame* frame : frames) --frame->outputs;
    return;
  }
  vring->packed ? transmit_to<PackedRing>(queue, *vring, frames, counters)
                : transmit_to<SplitRing>(queue, *vring, frames, counters);
}

TxCapabilities tx_capabilities(const VhostQueue& queue) {
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr) return TxCapabilities{true, true, true};  // nothing will be sent: no work in software for it
  return TxCapabilities{vring->rx_csum, vring->rx_tso4, vring->rx_tso6};
}

}  // namespace sluice::ports::vhost
