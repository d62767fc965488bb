// Quantities as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::control {

[[nodiscard]] std::string with_thousands(std::uint64_t n);  ///< "1,234,567"
[[nodiscard]] std::string with_unit(std::uint64_t bytes);   ///< "512 B", "1.5 MiB"
[[nodiscard]] std::string percent(double share);            ///< 0.256: "25.6%"
[[nodiscard]] std::string duration_text(double seconds);    ///< "12s", "3m05s", "2h03m", "4d02h"

/// Without what a terminal would obey: control characters become '?'. For all that guests or files may have named.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace sluice::control
