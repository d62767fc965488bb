// A frame whose head lies alone on the heap: kHeadroom bytes in front, not one behind, so that the address sanitizer
// sees any look beyond it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "datapath/parse.hpp"

namespace sluice::datapath::test {

inline constexpr flowtable::PortId kInPort = 5;

struct Parsed {
  std::optional<ports::DropReason> dropped;
  flowtable::FlowKey key;
  std::uint16_t l3_offset;
  std::uint16_t l4_offset;

  bool operator==(const Parsed&) const = default;
};

/// Has `parser` read a frame of `size` bytes (at least head's) of which `head` is what is there to look at.
template <typename Parser>
Parsed parse_copy_by(std::span<const std::uint8_t> head, std::size_t size, const ports::Offload& offload,
                     Parser parser) {
  const auto bytes = std::make_unique<std::uint8_t[]>(ports::kHeadroom + head.size());
  if (!head.empty()) std::memcpy(bytes.get() + ports::kHeadroom, head.data(), head.size());
  ports::Frame frame{};
  frame.head = bytes.get() + ports::kHeadroom;
  frame.head_size = static_cast<std::uint32_t>(head.size());
  frame.size = static_cast<std::uint32_t>(size);
  frame.offload = offload;
  Parsed parsed{};
  std::memset(&parsed.key, 0xa5, sizeof parsed.key);
  parsed.dropped = parser(frame, kInPort, parsed.key);
  parsed.l3_offset = frame.l3_offset;
  parsed.l4_offset = frame.l4_offset;
  return parsed;
}

inline Parsed parse_copy(std::span<const std::uint8_t> head, std::size_t size, const ports::Offload& offload = {}) {
  return parse_copy_by(head, size, offload, parse);
}
inline Parsed parse_copy(std::span<const std::uint8_t> frame, const ports::Offload& offload = {}) {
  return parse_copy(frame, frame.size(), offload);
}

}  // namespace sluice::datapath::test
