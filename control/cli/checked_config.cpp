// A configuration with its rules parsed. See checked_config.hpp.
#include "control/cli/checked_config.hpp"

#include <cstdint>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "control/cli/commands.hpp"
#include "control/config/load.hpp"
#include "control/rules/parse.hpp"

namespace sluice::control {

tl::expected<Config, std::vector<std::string>> checked_config(const std::string& path) {
  auto config = load_config(path);
  if (!config) return tl::make_unexpected(std::move(config.error().lines));

  PortNames names;
  flowtable::PortId next_id = 1;
  for (const PortConfig& port : config->ports) names.add(port.name, next_id++);
  std::vector<std::string> errors;
  for (const RuleText& rule : config->rules) {
    if (const auto parsed = parse_rule(rule.text, names); !parsed) {
      errors.push_back(fmt::format("{}: rule '{}': {}", rule.where, rule.text, parsed.error().message));
    }
  }
  if (!errors.empty()) return tl::make_unexpected(std::move(errors));
  return std::move(*config);
}

int report_errors(const std::string& path, const std::vector<std::string>& errors) {
  for (const std::string& line : errors) fmt::print(stderr, "{}\n", line);
  return fail(fmt::format("{}: {} {}", path, errors.size(), errors.size() == 1 ? "error" : "errors"));
}

}  // namespace sluice::control
