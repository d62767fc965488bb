// `sluice replay`: captures through a switch's configuration, what leaves each port into captures again.
#pragma once

#include <string>
#include <vector>

#include "control/config/config.hpp"

namespace sluice::control {

struct ReplayInput {
  std::string port;
  std::string file;
};

struct ReplayOptions {
  std::vector<ReplayInput> inputs;  ///< of frames with the same time, those named first come first
  std::string out;                  ///< a folder, made if need be; gets PORT.pcap for each port of the configuration
  std::string expect;               ///< a folder to compare with; empty: none
};

/// Exit codes of a replay.
enum ReplayExit : int { kReplayed = 0, kDiffers = 1, kReplayFailed = 2 };

/// Does it all: a summary to stdout; warnings, errors and differences to stderr. Starts DPDK, so once a process.
/// `config` was found good, its rules as well.
[[nodiscard]] int replay(const Config& config, const ReplayOptions& options);

}  // namespace sluice::control
