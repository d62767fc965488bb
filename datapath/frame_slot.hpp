// FrameSlot: room for a frame that the datapath makes itself: a copy of a head that must stay as it was, or a segment.
// Its head is private to it, its rest refers to the bytes of the frame it was made from.
#pragma once

#include <array>
#include <cstdint>

#include "ports/frame.hpp"

namespace sluice::datapath {

/// More tags than this, on top of those a frame came with, do not fit in its headroom next to a virtio-net header.
inline constexpr int kMaxPushedTags = 8;

/// The longest head that is copied: all of a guest's frame, with all the tags that may have been pushed.
inline constexpr std::uint32_t kMaxCopiedHead = ports::kHeadSize + 4 * kMaxPushedTags;

struct FrameSlot {
  ports::Frame frame;
  alignas(64) std::array<std::uint8_t, ports::kHeadroom + kMaxCopiedHead> bytes;
  /// What is behind the private head: what was not copied of the source's head, and its rest. A copy has one piece
  /// more than a frame that came in, a segment of a copy may have two.
  std::array<ports::Segment, ports::kMaxSegments + 2> rest;

  [[nodiscard]] std::uint8_t* head() { return bytes.data() + ports::kHeadroom; }
};

/// Makes slot.frame a copy of `source` with a head of its own. The bytes behind it stay where they are and must
/// outlive the copy. It has no mbuf and no outputs.
void clone(const ports::Frame& source, FrameSlot& slot);

}  // namespace sluice::datapath
