// Software TSO: cuts a TCP frame that is longer than its receiver takes into segments, without copying payload.
#pragma once

#include <cstdint>
#include <optional>

#include "datapath/frame_slot.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

/// A frame that asks for more segments than this is not segmented: one descriptor chain of a guest must not cost a
/// PMD tens of thousands of frames.
inline constexpr std::uint32_t kMaxTcpSegments = 1024;

/// Where things are in a frame that can be segmented. Offsets from the frame's first byte.
struct TcpLayout {
  std::uint32_t l3;
  std::uint32_t l4;
  std::uint32_t payload;
  std::uint32_t payload_size;  ///< by the IP header: without padding
  bool ipv6;
};

/// Nothing unless the frame's headers are those of an unfragmented TCP segment of the IP version that its gso_type
/// names, are whole in the head and fit in a HeadSlot, and gso_size and payload_size ask for at most kMaxTcpSegments.
[[nodiscard]] std::optional<TcpLayout> tcp_layout(const ports::Frame& frame);

/// Makes the segments of one frame, one by one and in order. The frame's bytes must outlive them.
class Segmenter {
 public:
  Segmenter(const ports::Frame& frame, const TcpLayout& layout) : frame_(frame), layout_(layout) {}

  [[nodiscard]] bool done() const { return made_ != 0 && offset_ == layout_.payload_size; }
  /// Fills `slot` with the next segment: headers of its own, the payload by reference. Its TCP checksum is left to be
  /// completed (kNeedsCsum), its IPv4 header checksum is right. To be called only while not done().
  void next(FrameSlot& slot);

 private:
  void fix_headers(ports::Frame& segment, std::uint32_t payload_size) const;

  const ports::Frame& frame_;
  const TcpLayout layout_;
  std::uint32_t offset_ = 0;  ///< payload bytes that are in segments already
  std::uint32_t made_ = 0;
  unsigned piece_ = 0;  ///< where offset_ is: 0 the head, n the rest's n-1
  std::uint32_t piece_offset_ = 0;
};

}  // namespace sluice::datapath
