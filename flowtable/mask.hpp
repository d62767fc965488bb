// Masking a burst of keys, and which instructions were picked to do it.
#pragma once

#include <span>
#include <string_view>

#include "flowtable/flow_key.hpp"

namespace sluice::flowtable {

/// out[i] = keys[i] AND masks[i]->mask, with mask_generation set to masks[i]->generation. All spans are of one size;
/// `out` may be `keys`.
void mask_burst(std::span<const FlowKey> keys, std::span<const ClassMask* const> masks, std::span<FlowKey> out);

/// What the burst functions of this process use, for people: "avx512 vaes" for example.
[[nodiscard]] std::string_view instruction_set();

}  // namespace sluice::flowtable
