// A configuration with its rules parsed: what `check` reports on and `run` insists on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "control/config/config.hpp"

namespace sluice::control {

/// The configuration, or every error in it, a line each with its place. Rules are judged also
/// if other things are wrong, unless a port's name could not be read: which ports they may name is then not known.
[[nodiscard]] tl::expected<Config, std::vector<std::string>> checked_config(const std::string& path);
/// Likewise of a text; `source` is what messages call it.
[[nodiscard]] tl::expected<Config, std::vector<std::string>> checked_config(std::string_view text,
                                                                            const std::string& source);

/// Prints the errors to stderr, and how many there are; returns kFailed.
int report_errors(const std::string& path, const std::vector<std::string>& errors);

}  // namespace sluice::control
