// The command line: `sluice COMMAND …`. README.md of control/ says where each command lives.
#pragma once

namespace sluice::control {

inline constexpr const char* kDefaultSocket = "/run/sluice/control.sock";

/// Exit codes: what was asked for was done; it failed or was refused; it was not understood, be it the command line or
/// the configuration that a switch was to run by: to ask again is of no use.
enum Exit : int { kDone = 0, kFailed = 1, kUsage = 2 };

/// All of main(): reads the arguments, does what they ask, says on stderr what went wrong. Returns an Exit.
[[nodiscard]] int run_cli(int argc, const char* const* argv);

}  // namespace sluice::control
