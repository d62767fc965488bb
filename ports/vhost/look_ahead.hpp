// LookAhead: the next buffers of a ring, found in guest memory before there is anything to read from or to put into
// them. Their bytes come from the guest's core while the PMD does other things.
//
// Only buffers that are one plain descriptor, which is nearly all of them. The PMD's own, beside the ring's position:
// what is here and was not used is looked up again by whoever goes on from that position.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "ports/frame.hpp"
#include "ports/vhost/chain.hpp"
#include "ports/vhost/copy.hpp"
#include "ports/vhost/vring.hpp"

namespace sluice::ports::vhost {

class LookAhead {
 public:
  Window buffers_in;  ///< where buffers were found last
  Window tables_in;   ///< where indirect tables were found last

  /// What was found in another vring is forgotten: its memory may be another.
  void use_for(std::uint64_t vring_serial) {
    if (vring_serial == serial_) return;
    serial_ = vring_serial;
    buffers_in = tables_in = Window{};
    clear();
  }
  void clear() { first_ = last_ = 0; }

  [[nodiscard]] unsigned size() const { return last_ - first_; }
  /// One of the size() buffers, the next for 0.
  [[nodiscard]] const Buffer& operator[](unsigned i) const { return buffers_[(first_ + i) % kBurstSize]; }
  void pop(unsigned count) { first_ += count; }

  /// Finds the ring's next chains and sends for their first bytes: a first few, for use() to find more beside, until
  /// there is none, no room, or one is not plain.
  template <Direction direction, typename Ring>
  void find(const Vring& vring, Ring& ring);

  /// Uses what was found, in order and at most `most`, as long as `use(Ring&, const Buffer&, const Buffer& next)` says
  /// that it could; how many. For each it finds one more, since a core waits for only so many cache lines at a time.
  /// `next` is the buffer behind, or one of before if there is none.
  ///
  /// The ring that `use` gets is a copy that nobody else knows of, as all the loop reads is: it stays in registers,
  /// whatever is written to guests' memory.
  template <Direction direction, typename Ring, typename Use>
  unsigned use(const Vring& vring, Ring& ring, unsigned most, Use use);

 private:
  /// So many lines a core waits for at a time: the others are found while these are used.
  static constexpr unsigned kAtFirst = 16;

  std::uint64_t serial_ = 0;
  unsigned first_ = 0;
  unsigned last_ = 0;
  std::array<Buffer, kBurstSize> buffers_{};
};

/// Whether a frame in this buffer begins a cache line, so that its virtio-net header is at the end of another: DPDK's
/// drivers keep it in an mbuf's headroom.
[[nodiscard]] inline bool header_is_apart(const Vring& vring, const Buffer& buffer) {
  return (reinterpret_cast<std::uintptr_t>(buffer.data) + vring.net_header_size) % kCacheLine == 0;
}

/// Of any buffer, so much is sent for when it is found.
inline constexpr std::uint32_t kSentFor = 2 * kCacheLine;

/// Sends for what will be read of a guest's frame first. The header is not, if it can say nothing.
inline void send_for(const Vring& vring, const Buffer& buffer,
                     std::integral_constant<Direction, Direction::from_driver>) {
  const std::uint8_t* const first = buffer.data + (vring.tx_csum ? 0 : vring.net_header_size);
  prefetch_to_read(first);
  // The other lines of a head, of which there are three: if the frame has them.
  const std::uint8_t* const last = buffer.data + buffer.size - 1;
  prefetch_to_read(std::min(first + kCacheLine, last));
  if (last >= first + kSentFor) prefetch_to_read(first + kSentFor);
}

/// Sends for what will be written first. The line of a header that is apart mostly says already what it is to say:
/// it stays with the guest's core as well.
inline void send_for(const Vring& vring, const Buffer& buffer,
                     std::integral_constant<Direction, Direction::to_driver>) {
  if (header_is_apart(vring, buffer)) {
    prefetch_to_read(buffer.data);
  } else {
    prefetch_to_write(buffer.data);
  }
  prefetch_to_write(buffer.data + kCacheLine);
}

template <Direction direction, typename Ring>
void LookAhead::find(const Vring& vring, Ring& ring) {
  unsigned last = last_;
  ring.template take_plain<direction>(std::min(kAtFirst, kBurstSize - size()), buffers_in, [&](const Buffer& buffer) {
    send_for(vring, buffer, std::integral_constant<Direction, direction>());
    buffers_[last++ % kBurstSize] = buffer;
  });
  last_ = last;
}

template <Direction direction, typename Ring, typename Use>
[[gnu::always_inline]] inline unsigned LookAhead::use(const Vring& vring, Ring& ring, unsigned most, Use use) {
  Ring own = ring;
  Window window = buffers_in;
  const unsigned begin = first_;
  unsigned first = first_;
  unsigned last = last_;
  for (; first - begin != most && first != last; ++first) {
    if (!use(own, std::as_const(buffers_[first % kBurstSize]), std::as_const(buffers_[(first + 1) % kBurstSize])))
      break;
    own.template take_plain<direction>(1, window, [&](const Buffer& buffer) {
      send_for(vring, buffer, std::integral_constant<Direction, direction>());
      buffers_[last++ % kBurstSize] = buffer;
    });
  }
  buffers_in = window;
  first_ = first;
  last_ = last;
  ring.go_on_from(own);
  return first - begin;
}

}  // namespace sluice::ports::vhost
