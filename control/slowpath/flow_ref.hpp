// FlowRef: a flow's number: which PMD's, and its entry there. Slow-path thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "flowtable/flow_entry.hpp"

namespace sluice::control {

/// The PMD's index in the upper eight bits, the entry's id below.
enum class FlowRef : std::uint32_t {};
inline constexpr FlowRef kNoFlow{0xffffffff};
inline constexpr std::size_t kMaxPmds = 255;

[[nodiscard]] constexpr FlowRef flow_ref(std::size_t pmd, flowtable::EntryId entry) {
  return FlowRef{static_cast<std::uint32_t>(pmd << 24U) | entry};
}
[[nodiscard]] constexpr std::size_t pmd_of(FlowRef flow) { return static_cast<std::uint32_t>(flow) >> 24U; }
[[nodiscard]] constexpr flowtable::EntryId entry_of(FlowRef flow) {
  return static_cast<std::uint32_t>(flow) & 0x00ff'ffffU;
}

}  // namespace sluice::control
