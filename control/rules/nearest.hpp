// nearest: "did you mean …?" for a word that is not known.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sluice::control {

/// The candidate that is the fewest typing mistakes away from `word`, if that is few for a word of its length;
/// empty otherwise.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// "; did you mean NEAREST?", or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace sluice::control
