// compare: whether two captures are the same, and if not, in words, what the first differing frame is.
#pragma once

#include <string>
#include <vector>

#include "control/error.hpp"
#include "control/replay/captured_frame.hpp"

namespace sluice::control {

/// The lines that tell of the first difference between what is there and what was expected, empty if there is none:
/// bytes and times are compared. `name`: the port's. Fails if one of the files cannot be read.
[[nodiscard]] Expected<std::vector<std::string>> compare_captures(const std::string& name, const std::string& actual,
                                                                  const std::string& expected);

/// In what two frames that are not the same differ: fields, then the first bytes that are not alike.
[[nodiscard]] std::vector<std::string> differences(const CapturedFrame& actual, const CapturedFrame& expected);

/// "2024-05-01 12:00:00.000000001 UTC".
[[nodiscard]] std::string written(CaptureTime time);

}  // namespace sluice::control
