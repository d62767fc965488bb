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

/// Behind that, the processor has seen by itself where the reading and writing goes.
constexpr std::uint32_t kExpectedAtMost = 2048;

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

/// A virtio-net header as the words that are written: the first eight bytes, and the four behind them. Never in memory
/// piece by piece: a read of stores that are narrower waits until all stores before them are done.
struct HeaderWords {
  std::uint64_t low;
  std::uint32_t high;
};

/// The header of a frame that needs nothing more done, in `chains` chains (section 5.1.6.4).
constexpr HeaderWords plain_header(std::uint16_t chains) { return {0, std::uint32_t{chains} << 16U}; }

HeaderWords net_header(const Vring& vring, const Frame& frame, std::uint16_t chains) {
  if (!frame.offload.any()) return plain_header(chains);
  const Offload& offload = frame.offload;
  const std::uint8_t flags = offload.needs_csum() || vring.rx_csum ? offload.flags : std::uint8_t{0};
  return {flags | std::uint64_t{offload.gso_type} << 8U | std::uint64_t{offload.hdr_len} << 16U |
              std::uint64_t{offload.gso_size} << 32U | std::uint64_t{offload.csum_start} << 48U,
          offload.csum_offset | plain_header(chains).high};
}

void write_header(const Vring& vring, const HeaderWords& header, std::uint8_t* to) {
  std::memcpy(to, &header.low, sizeof header.low);
  if (vring.net_header_size == kNetHeaderSize) [[likely]] {
    std::memcpy(to + sizeof header.low, &header.high, sizeof header.high);
  } else {
    std::memcpy(to + sizeof header.low, &header.high, kLegacyNetHeaderSize - sizeof header.low);
  }
}

/// Whether a header that is there is this one; of a legacy one, which is shorter, it is not known.
bool says(const HeaderWords& header, const std::uint8_t* there) {
  HeaderWords words;
  std::memcpy(&words.low, there, sizeof words.low);
  std::memcpy(&words.high, there + sizeof words.low, sizeof words.high);
  return words.low == header.low && words.high == header.high;
}

/// What is behind a frame's head.
[[gnu::noinline]] void write_rest(const Frame& frame, std::uint8_t* to) {
  for (const Segment& segment : std::span(frame.rest, frame.rest_count)) {
    copy_bytes(to, segment.data, segment.size);
    to += segment.size;
  }
}

/// To where all of it has room in one place. Part of the loop that it is called in: what that keeps in registers stays
/// there.
[[gnu::always_inline]] inline void write_frame(const Vring& vring, const Frame& frame, const Buffer& buffer) {
  const HeaderWords header = frame.offload.any() ? net_header(vring, frame, 1) : plain_header(1);
  std::uint8_t* to = buffer.data;
  // A line that is not written need not be fetched from the guest's core again and again.
  if (!header_is_apart(vring, buffer) || vring.net_header_size != kNetHeaderSize || !says(header, to)) {
    write_header(vring, header, to);
  }
  to += vring.net_header_size;
  copy_bytes(to, frame.head, frame.head_size);
  if (frame.rest_count != 0) write_rest(frame, to + frame.head_size);
  if (vring.log != nullptr) [[unlikely]]
    vring.log->mark(buffer.guest_phys_addr, vring.net_header_size + frame.size);
}

/// To pieces that together have room.
void write_frame(const Vring& vring, const Frame& frame, std::span<const Piece> pieces, std::uint16_t chains) {
  PieceWriter writer(pieces, vring.log);
  const HeaderWords header = net_header(vring, frame, chains);
  writer.write(reinterpret_cast<const std::uint8_t*>(&header), vring.net_header_size);
  writer.write(frame.head, frame.head_size);
  for (const Segment& segment : std::span(frame.rest, frame.rest_count)) writer.write(segment.data, segment.size);
}

/// Whether the guest takes frames with this left to be done. Egress has seen to it, but of the ring as it was then: one
/// that was published since may be another guest's.
bool takes(const Vring& vring, const Offload& offload) {
  if (!offload.any()) [[likely]]
    return true;
  if (offload.needs_csum() && !vring.rx_csum) return false;
  switch (offload.gso_type) {
    case Offload::kGsoNone: return true;
    case Offload::kGsoTcpV4: return vring.rx_tso4;
    case Offload::kGsoTcpV6: return vring.rx_tso6;
    default: return false;
  }
}

/// What became of one frame.
enum class Placed : std::uint8_t { yes, ring_full, bad_descriptor, too_small, offload_not_taken };

template <typename Ring>
class Transmitter {
 public:
  Transmitter(VhostQueue& queue, const Vring& vring, Notifier& notifier)
      : queue_(queue),
        vring_(vring),
        notifier_(notifier),
        ahead_(queue.ahead),
        ring_(queue, vring, vring.progress->position) {
    ahead_.use_for(vring.serial);
    ring_.skip(ahead_.size());
    ring_.look();
  }

  /// Places frames in one plain buffer each, as they were found ahead, until one needs more than that; how many.
  /// `bytes` grows by theirs.
  std::size_t place_plain(std::span<Frame* const> frames, std::uint64_t& bytes) {
    if (ring_.room() < frames.size()) [[unlikely]]
      show_used();
    if (ahead_.size() == 0) look_again();
    std::uint64_t placed_bytes = 0;
    auto next_frame = frames.begin();
    const auto place_one = [&](Ring& ring, const Buffer& buffer, const Buffer& next_buffer) {
      Frame& frame = **next_frame;
      const std::uint32_t need = vring_.net_header_size + frame.size;
      if (buffer.size < need || !takes(vring_, frame.offload)) [[unlikely]]
        return false;
      ++next_frame;
      if (next_frame != frames.end()) expect(**next_frame, next_buffer);
      write_frame(vring_, frame, buffer);
      ring.use(UsedChain{buffer.id, 1, need});
      --frame.outputs;
      placed_bytes += frame.size;
      return true;
    };
    const auto placed =
        ahead_.template use<Direction::to_driver>(vring_, ring_, static_cast<unsigned>(frames.size()), place_one);
    bytes += placed_bytes;
    return placed;
  }

  /// Places a frame wherever there is room for it.
  Placed place(const Frame& frame) {
    if (ring_.room() < kMaxChainsPerFrame) [[unlikely]]
      show_used();
    return place_in_pieces(frame, vring_.net_header_size + frame.size);
  }

  /// Shows the driver what was used, and has it asked whether it wants to hear of it.
  void show_used() {
    const RingPosition before = vring_.progress->position;
    const bool any = ring_.publish();
    const RingPosition after = ring_.position(ahead_.size());
    ring_.settle(after);
    if (any) notifier_.published(queue_, vring_, before, after);
  }

 private:
  void look_again() {
    ring_.look();
    ahead_.template find<Direction::to_driver>(vring_, ring_);
  }

  /// Sends for what will be read and written when a frame is placed, as far as finding it and its buffer has not done
  /// so. `buffer` may be one that is not there yet.
  void expect(const Frame& frame, const Buffer& buffer) const {
    if (frame.rest_count == 0) return;
    const Segment& rest = *frame.rest;
    for (std::uint32_t at = 0; at < std::min(rest.size, kExpectedAtMost); at += kCacheLine)
      prefetch_to_read(rest.data + at);
    const std::uint32_t end = std::min({buffer.size, frame.size + vring_.net_header_size, kExpectedAtMost});
    for (std::uint32_t at = kSentFor; at < end; at += kCacheLine) prefetch_to_write(buffer.data + at);
  }

  /// A frame that one plain buffer does not hold: a chain of several descriptors, or several chains (MRG_RXBUF).
  Placed place_in_pieces(const Frame& frame, std::uint32_t need) {
    ring_.give_back(ahead_.size());
    ahead_.clear();
    ring_.look();
    const typename Ring::Mark start = ring_.mark();
    std::array<UsedChain, kMaxChainsPerFrame> used;
    std::array<Piece, 2 * kMaxSegments> pieces;
    std::uint16_t chains = 0;
    std::uint32_t piece_count = 0;
    std::uint32_t room = 0;
    while (room < need) {
      if (chains == kMaxChainsPerFrame || (chains != 0 && !vring_.mergeable)) {
        ring_.rewind(start);
        return Placed::too_small;
      }
      if (!ring_.more()) {
        ring_.rewind(start);
        return Placed::ring_full;
      }
      const auto chain = ring_.take();
      if (!chain.valid) {
        if (!ring_.resumable()) ring_.rewind(start);
        return give_up(std::span(used).first(chains));
      }
      const Walk walk = ring_.walk(chain, Direction::to_driver, std::span(pieces).subspan(piece_count));
      used[chains++] = UsedChain{chain.id, chain.descriptors, walk.size};
      if (walk.error != ChainError::none) return give_up(std::span(used).first(chains));
      prefetch_to_write(pieces[piece_count].data);
      piece_count += walk.pieces;
      room += walk.size;
    }
    write_frame(vring_, frame, std::span<const Piece>(pieces).first(piece_count), chains);
    for (const UsedChain& u : std::span(used).first(chains)) {
      const std::uint32_t written = std::min(u.len, need);
      ring_.use(UsedChain{u.id, u.descriptors, written});
      need -= written;
    }
    return Placed::yes;
  }

  /// A malformed chain is given back empty, so that the ring goes on behind it; so are those taken before it for the
  /// same frame.
  Placed give_up(std::span<const UsedChain> taken) {
    queue_.guest_errors.add();
    for (const UsedChain& u : taken) ring_.use(UsedChain{u.id, u.descriptors, 0});
    return Placed::bad_descriptor;
  }

  VhostQueue& queue_;
  const Vring& vring_;
  Notifier& notifier_;
  LookAhead& ahead_;
  Ring ring_;
};

template <typename Ring>
void transmit_to(VhostQueue& queue, const Vring& vring, std::span<Frame* const> frames, PortCounters& counters,
                 Notifier& notifier) {
  Transmitter<Ring> transmitter(queue, vring, notifier);
  std::uint64_t sent = 0;
  std::uint64_t bytes = 0;
  std::size_t i = 0;
  while (i != frames.size()) {
    if (const std::size_t placed = transmitter.place_plain(frames.subspan(i), bytes); placed != 0) [[likely]] {
      sent += placed;
      i += placed;
      continue;
    }
    Frame& frame = *frames[i];
    const Placed placed = takes(vring, frame.offload) ? transmitter.place(frame) : Placed::offload_not_taken;
    if (placed == Placed::ring_full) break;
    --frame.outputs;
    ++i;
    switch (placed) {
      case Placed::yes:
        ++sent;
        bytes += frame.size;
        break;
      case Placed::too_small: counters.drop(DropReason::tx_buffer_too_small); break;
      case Placed::offload_not_taken: counters.drop(DropReason::tx_offload); break;
      default: counters.drop(DropReason::tx_bad_descriptor);
    }
  }
  transmitter.show_used();
  counters.tx_packets.add(sent);
  counters.tx_bytes.add(bytes);
  if (i == frames.size()) return;
  counters.drop(DropReason::tx_ring_full, frames.size() - i);
  for (; i < frames.size(); ++i) --frames[i]->outputs;
}

}  // namespace

void transmit(VhostQueue& queue, std::span<Frame* const> frames, PortCounters& counters, Notifier& notifier) {
  // acquire: what the vring points to was written before it was published.
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr || !vring->enabled || queue.broken) {
    counters.drop(DropReason::tx_not_connected, frames.size());
    for (Frame* frame : frames) --frame->outputs;
    return;
  }
  vring->packed ? transmit_to<PackedRing>(queue, *vring, frames, counters, notifier)
                : transmit_to<SplitRing>(queue, *vring, frames, counters, notifier);
}

TxCapabilities tx_capabilities(const VhostQueue& queue) {
  const Vring* vring = queue.vring.load(std::memory_order_acquire);
  if (vring == nullptr) return TxCapabilities{true, true, true};  // nothing will be sent: no work in software for it
  return TxCapabilities{vring->rx_csum, vring->rx_tso4, vring->rx_tso6};
}

}  // namespace sluice::ports::vhost
