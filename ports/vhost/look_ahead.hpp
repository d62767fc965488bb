// LookAhead: the next buffers of a ring, found in guest memory before there is anything to read from or to put into
// them. Their bytes come from the guest's core while the PMD does other things.
//
// Only buffers that are one plain descriptor, which is nearly all of them. The PMD's own, beside the ring's position:
// what is here and was not used is looked up again by whoever goes on from that position.
#pragma once

#include <array>
#include <cstdint>

#include "ports/frame.hpp"
#include "ports/vhost/chain.hpp"
#include "ports/vhost/copy.hpp"

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

/// Finds the ring's next chain and sends for its first bytes; false if there is none, or it is not plain. The loops
/// that use buffers find one more for each they use: a core waits for only so many cache lines at a time.
template <Direction direction, typename Ring>
bool find_buffer(Ring& ring, LookAhead& ahead, unsigned& region_hint) {
  Buffer& buffer = ahead.back();
  if (!ring.more() || !ring.take_plain(buffer, direction, region_hint)) return false;
  if constexpr (direction == Direction::to_driver) {
    prefetch_to_write(buffer.data);
    prefetch_to_write(buffer.data + kCacheLine);
  } else {
    __builtin_prefetch(buffer.data);
    __builtin_prefetch(buffer.data + kCacheLine);
  }
  ahead.push();
  return true;
}

/// As many as there is room for.
template <Direction direction, typename Ring>
void find_buffers(Ring& ring, LookAhead& ahead, unsigned& region_hint) {
  while (ahead.size() != kBurstSize && find_buffer<direction>(ring, ahead, region_hint)) continue;
}

}  // namespace sluice::ports::vhost
