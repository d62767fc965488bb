// The log: lines for people, to stderr, by spdlog. Any thread but a PMD may write to it: a PMD counts instead.
//
// Where stderr is the journal's (systemd sets JOURNAL_STREAM), lines carry no time and their level as the journal's
// own "<N>" prefix; else time and level are in the line.
//
// Nobody waits for whoever reads: lines that find no room are left out, and the next that does says how many. Waited
// for are only a pipe or terminal of another user, which cannot be opened anew, and a socket that is not the journal's.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "control/error.hpp"
#include "ports/port.hpp"

namespace sluice::control {

/// What a level may be called, the most talkative first.
inline constexpr std::array<std::string_view, 5> kLogLevels{"debug", "info", "warning", "error", "off"};

/// Makes spdlog's default logger ours, at level info, and stderr one that is not waited for. Once, before any other
/// thread is there.
void start_log();

/// `level` is one of kLogLevels.
[[nodiscard]] Expected<void> set_log_level(std::string_view level);

/// What ports::PortHost::log is to be.
[[nodiscard]] std::function<void(ports::Severity, const std::string&)> port_log();

}  // namespace sluice::control
