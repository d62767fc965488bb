#include "datapath/frame_slot.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace sluice::datapath {

void clone(const ports::Frame& source, FrameSlot& slot) {
  // A longer head than that is an mbuf's: enough of it is copied, and the copy of a copy adds no further piece.
  const std::uint32_t copied = source.head_size <= kMaxCopiedHead ? source.head_size : ports::kHeadSize;
  slot.frame = source;
  slot.frame.head = slot.head();
  slot.frame.head_size = copied;
  slot.frame.mbuf = nullptr;
  slot.frame.outputs = 0;
  std::memcpy(slot.frame.head, source.head, copied);

  auto end = slot.rest.begin();
  if (copied < source.head_size) *end++ = {source.head + copied, source.head_size - copied};
  const std::span rest(source.rest, source.rest_count);
  end = std::copy(rest.begin(), rest.end(), end);
  slot.frame.rest = slot.rest.data();
  slot.frame.rest_count = static_cast<std::uint16_t>(end - slot.rest.begin());
}

}  // namespace sluice::datapath
