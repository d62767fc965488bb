#include "control/replay/replay.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "control/replay/capture_writer.hpp"
#include "control/replay/compare.hpp"
#include "control/replay/merge.hpp"
#include "control/replay/replayed_switch.hpp"
#include "control/replay/summary.hpp"
#include "control/rules/nearest.hpp"

namespace sluice::control {
namespace {

namespace fs = std::filesystem;

int fail_with(const std::string& message) {
  fmt::print(stderr, "sluice: {}\n", message);
  return kReplayFailed;
}

/// Everything that is wrong with the inputs, a line each.
using Errors = std::vector<std::string>;

int fail_with(const Errors& errors) {
  for (const std::string& error : errors) fail_with(error);
  return kReplayFailed;
}

std::string file_of(const std::string& folder, const PortConfig& port) {
  return (fs::path(folder) / (port.name + ".pcap")).string();
}

/// The inputs, opened, and each one's port by its place in the configuration.
struct Inputs {
  std::vector<Capture> captures;
  std::vector<std::size_t> ports;
};

Expected<std::size_t> port_named(const std::string& name, const Config& config) {
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    if (config.ports[i].name == name) return i;
  }
  std::vector<std::string_view> names;
  for (const PortConfig& port : config.ports) names.push_back(port.name);
  return tl::unexpected(Error{fmt::format("--in {}=…: {} has no port of that name{}", name, config.source,
                                          did_you_mean(name, names, there_are(names)))});
}

tl::expected<Inputs, Errors> open_inputs(const ReplayOptions& options, const Config& config) {
  Inputs inputs;
  Errors errors;
  for (const ReplayInput& input : options.inputs) {
    const auto port = port_named(input.port, config);
    if (!port) errors.push_back(port.error().message);
    auto capture = Capture::open(input.file);
    if (!capture) errors.push_back(capture.error().message);
    if (!port || !capture) continue;
    for (const std::string& warning : capture->warnings()) fmt::print(stderr, "sluice: warning: {}\n", warning);
    inputs.captures.push_back(*std::move(capture));
    inputs.ports.push_back(*port);
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return inputs;
}

/// Output files are emptied when they are opened, so none may be one that is read.
Expected<void> check_outputs(const ReplayOptions& options, const Config& config) {
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) return tl::unexpected(Error{fmt::format("--out {}: {}", options.out, error.message())});
  if (!options.expect.empty() && fs::equivalent(options.out, options.expect, error)) {
    return tl::unexpected(Error{fmt::format("--out {} is the folder of --expect; right is another", options.out)});
  }
  for (const PortConfig& port : config.ports) {
    for (const ReplayInput& input : options.inputs) {
      if (!fs::equivalent(file_of(options.out, port), input.file, error)) continue;
      return tl::unexpected(Error{
          fmt::format("--out {} would overwrite {}, which is read; right is another folder", options.out, input.file)});
    }
  }
  return {};
}

Expected<std::vector<CaptureWriter>> open_outputs(const std::string& folder, const Config& config) {
  std::vector<CaptureWriter> writers;
  for (const PortConfig& port : config.ports) {
    auto writer = CaptureWriter::create(file_of(folder, port));
    if (!writer) return tl::unexpected(writer.error());
    writers.push_back(*std::move(writer));
  }
  return writers;
}

Expected<ReplayTimes> run(ReplayedSwitch& replayed, Inputs inputs, std::vector<CaptureWriter>& writers) {
  Merge merge(std::move(inputs.captures));
  ReplayTimes times;
  const auto start = std::chrono::steady_clock::now();
  const RingPorts::Taker write = [&](std::size_t port, std::span<const std::uint8_t> frame) {
    writers[port].write(times.last, frame);
  };
  for (auto next = merge.next(); next.frame != nullptr; next = merge.next()) {
    if (times.frames++ == 0) times.first = next.frame->time;
    times.last = next.frame->time;
    if (!replayed.step(next.frame->time, inputs.ports[next.input], next.frame->bytes, write)) {
      return tl::unexpected(Error{fmt::format("frame {}: no buffers left to put it in", times.frames)});
    }
  }
  for (CaptureWriter& writer : writers) {
    if (const auto finished = writer.finish(); !finished) return tl::unexpected(finished.error());
  }
  times.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return times;
}

/// Tells of the first difference of each port. A port without a file is expected to send nothing.
int compare(const ReplayOptions& options, const Config& config, const std::vector<CaptureWriter>& writers) {
  int exit = kReplayed;
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const std::string expected = file_of(options.expect, config.ports[i]);
    if (!fs::exists(expected)) {
      if (writers[i].frames() == 0) continue;
      fmt::print(stderr, "{}: {} frames, expected none: there is no {}\n", config.ports[i].name, writers[i].frames(),
                 expected);
      exit = kDiffers;
      continue;
    }
    const auto lines = compare_captures(config.ports[i].name, writers[i].path(), expected);
    if (!lines) return fail_with(lines.error().message);
    for (const std::string& line : *lines) fmt::print(stderr, "{}\n", line);
    if (!lines->empty()) exit = kDiffers;
  }
  return exit;
}

/// Captures in the folder that are no port's would never be compared.
Expected<void> check_expected(const std::string& folder, const Config& config) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) return tl::unexpected(Error{fmt::format("--expect {}: {}", folder, error.message())});
  for (const fs::directory_entry& entry : entries) {
    if (entry.path().extension() != ".pcap") continue;
    const std::string name = entry.path().stem().string();
    const bool known =
        std::any_of(config.ports.begin(), config.ports.end(), [&](const PortConfig& p) { return p.name == name; });
    if (known) continue;
    return tl::unexpected(Error{fmt::format("{}: {} has no port of that name", entry.path().string(), config.source)});
  }
  return {};
}

}  // namespace

int replay(const Config& config, const ReplayOptions& options) {
  auto inputs = open_inputs(options, config);
  if (!inputs) return fail_with(inputs.error());
  if (const auto good = check_outputs(options, config); !good) return fail_with(good.error().message);
  if (!options.expect.empty()) {
    if (const auto good = check_expected(options.expect, config); !good) return fail_with(good.error().message);
  }
  auto replayed = ReplayedSwitch::start(config);
  if (!replayed) return fail_with(replayed.error().message);
  auto writers = open_outputs(options.out, config);
  if (!writers) return fail_with(writers.error().message);

  const auto times = run(**replayed, *std::move(inputs), *writers);
  if (!times) return fail_with(times.error().message);
  fmt::print("{}", summary(config, **replayed, *times));
  if (const std::string numbers = unaccounted(config, **replayed); !numbers.empty()) {
    return fail_with("frames are not accounted for, which is a bug of the switch: " + numbers);
  }
  return options.expect.empty() ? kReplayed : compare(options, config, *writers);
}

}  // namespace sluice::control
