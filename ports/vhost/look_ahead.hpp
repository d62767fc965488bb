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

#include "ports/frame.hpp"
#include "ports/vhost/chain.hpp"
#include "ports/vhost/copy.hpp"
#include "ports/vhost/vring.hpp"

namespace sluice::ports::vhost {

class LookAhead {
 public:
  /// What was found in another vring is forgotten: its memory may be another.
  void use_for(std::uint64_t vring_serial) {
    if (vring_serial == serial_) return;
    serial_ = vring_serial;
    clear();
  }
  void clear() { first_ = last_ = 0; }

  [[nodiscard]] unsigned size() const { return last_ - first_; }
  [[nodiscard]] const Buffer& front() const { return buffers_[first_ % kBurstSize]; }
  [[nodiscard]] const Buffer& second() const { return buffers_[(first_ + 1) % kBurstSize]; }
  void pop() { ++first_; }
  /// Room for one more, to be made part by push(); there are at most kBurstSize.
  [[nodiscard]] Buffer& back() { return buffers_[last_ % kBurstSize]; }
  void push() { ++last_; }

 private:
  std::uint64_t serial_ = 0;
  unsigned first_ = 0;
  unsigned last_ = 0;
  std::array<Buffer, kBurstSize> buffers_;
};

/// Whether a frame in this buffer begins a cache line, so that its virtio-net header is at the end of another: DPDK's
/// drivers keep it in an mbuf's headroom.
[[nodiscard]] inline bool header_is_apart(const Vring& vring, const Buffer& buffer) {
  return (reinterpret_cast<std::uintptr_t>(buffer.data) + vring.net_header_size) % kCacheLine == 0;
}

/// Sends for what will be read of a guest's frame first. The header is not, if it can say nothing.
inline void send_for(const Vring& vring, const Buffer& buffer,
                     std::integral_constant<Direction, Direction::from_driver>) {
  const std::uint8_t* const first = buffer.data + (vring.tx_csum ? 0 : vring.net_header_size);
  prefetch_to_read(first);
  // The other lines of a head: if the frame has them.
  const std::uint8_t* const last = buffer.data + buffer.size - 1;
  prefetch_to_read(std::min(first + kCacheLine, last));
  if (last >= first + 2 * kCacheLine) prefetch_to_read(first + 2 * kCacheLine);
}

/// Of a buffer to be written, so much is sent for when it is found.
inline constexpr std::uint32_t kSentFor = 2 * kCacheLine;

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

/// Finds the ring's next chain and sends for its first bytes; false if there is none, or it is not plain. The loops
/// that use buffers find one more for each they use: a core waits for only so many cache lines at a time.
template <Direction direction, typename Ring>
bool find_buffer(const Vring& vring, Ring& ring, LookAhead& ahead, unsigned& region_hint) {
  Buffer& buffer = ahead.back();
  if (!ring.more() || !ring.take_plain(buffer, direction, region_hint)) return false;
  send_for(vring, buffer, std::integral_constant<Direction, direction>());
  ahead.push();
  return true;
}

/// As many as there is room for.
template <Direction direction, typename Ring>
void find_buffers(const Vring& vring, Ring& ring, LookAhead& ahead, unsigned& region_hint) {
  while (ahead.size() != kBurstSize && find_buffer<direction>(vring, ring, ahead, region_hint)) continue;
}

}  // namespace sluice::ports::vhost
