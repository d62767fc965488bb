// A configuration with its rules parsed. See checked_config.hpp.
#include "control/cli/checked_config.hpp"

#include <cstdint>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "control/cli/commands.hpp"
#include "control/config/load.hpp"
#include "control/rules/judge.hpp"

namespace sluice::control {

tl::expected<Config, std::vector<std::string>> checked_config(const std::string& path) {
  const auto text = read_config_text(path);
  if (!text) return tl::make_unexpected(std::vector{text.error().message});
  return checked_config(*text, path);
}

tl::expected<Config, std::vector<std::string>> checked_config(std::string_view text, const std::string& source) {
  auto config = parse_config(text, source);
  std::vector<std::string> errors;
  if (!config) errors = std::move(config.error().lines);
  const Config* readable = config ? &*config : config.error().rest ? &*config.error().rest : nullptr;
  if (readable != nullptr) {
    PortNames names;
    flowtable::PortId next_id = 1;
    for (const PortConfig& port : readable->ports) {
      if (!names.id(port.name)) names.add(port.name, next_id++);
    }
    if (const auto rules = judge_rules(readable->rules, names); !rules) {
      errors.insert(errors.end(), rules.error().begin(), rules.error().end());
    }
  }
  if (!errors.empty()) return tl::make_unexpected(std::move(errors));
  return std::move(*config);
}

int report_errors(const std::string& path, const std::vector<std::string>& errors) {
  for (const std::string& line : errors) std::fputs((line + "\n").c_str(), stderr);
  return fail(fmt::format("{}: {} {}", path, errors.size(), errors.size() == 1 ? "error" : "errors"));
}

}  // namespace sluice::control
