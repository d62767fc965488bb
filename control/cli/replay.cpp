// `sluice replay`: the command around control/replay.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "control/cli/checked_config.hpp"
#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/replay/replay.hpp"

namespace sluice::control {
namespace {

/// What CLI11 asks of a check: what is wrong, empty if nothing is.
std::string port_and_file(const std::string& text) {
  const std::size_t at = text.find('=');
  if (at != std::string::npos && at > 0 && at + 1 < text.size()) return "";
  return fmt::format("'{}' is no PORT=FILE, such as vm1=vm1.pcap", text);
}

struct Options {
  std::string config;
  std::vector<std::string> inputs;
  ReplayOptions replay;
};

int replay(Options& options) {
  const auto config = checked_config(options.config);
  if (!config) {
    report_errors(options.config, config.error());
    return kReplayFailed;
  }
  for (const std::string& input : options.inputs) {
    const std::size_t at = input.find('=');
    options.replay.inputs.push_back({input.substr(0, at), input.substr(at + 1)});
  }
  return replay(*config, options.replay);
}

}  // namespace

void add_replay(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("replay", "Run captures through a configuration, the same way each time");
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "The configuration, YAML")->required();
  command->add_option("--in", options->inputs, "What the port receives: pcap or pcapng; may be given more than once")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(port_and_file)
      ->option_text("PORT=FILE");
  command->add_option("--out", options->replay.out, "Where DIR/PORT.pcap is written for each port")
      ->required()
      ->option_text("DIR");
  command->add_option("--expect", options->replay.expect, "Compare with DIR/PORT.pcap; exit 1 if they differ")
      ->option_text("DIR");
  command->footer("Exits 0 when done, 1 if the output is not what was expected, 2 if it could not be done.\n\n" +
                  examples({"sluice replay switch.yaml --in vm1=vm1.pcap --in vm2=vm2.pcapng --out /tmp/out",
                            "sluice replay switch.yaml --in vm1=vm1.pcap --out /tmp/out --expect expected/"}));
  command->callback([options, &exit] { exit = replay(*options); });
}

}  // namespace sluice::control
