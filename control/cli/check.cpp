// `sluice check`: everything that is wrong with a configuration, without starting anything.
#include <memory>
#include <string>

#include <fmt/format.h>

#include "control/cli/checked_config.hpp"
#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"

namespace sluice::control {
namespace {

int check(const std::string& path) {
  const auto config = checked_config(path);
  if (!config) return report_errors(path, config.error());
  const auto count = [](std::size_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); };
  fmt::print("{}: OK: {}, {}, PMDs on core {}\n", path, count(config->ports.size(), "port"),
             count(config->rules.size(), "rule"), fmt::join(config->pmd.cores, ", "));
  return kDone;
}

}  // namespace

void add_check(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("check", "Say all that is wrong with a configuration");
  auto path = std::make_shared<std::string>();
  command->add_option("CONFIG", *path, "The configuration, YAML")->required();
  command->footer(examples({"sluice check /etc/sluice/switch.yaml", "sluice check new.yaml && sluice run new.yaml"}));
  command->callback([path, &exit] { exit = check(*path); });
}

}  // namespace sluice::control
