// nearest: "did you mean …?" for a word that is not known.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sluice::control {

/// The candidate that is the fewest typing mistakes away from `word`, if that is few for a word of its length;
/// empty otherwise.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// "; did you mean NEAREST?", or `otherwise`.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                                       std::string_view otherwise = {});

/// "; there are vm1, vm2": the first few of them.
[[nodiscard]] std::string there_are(std::span<const std::string_view> words);

}  // namespace sluice::control
