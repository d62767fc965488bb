// The configuration as it is in effect: what was read from the file, and upon it what was changed while the switch ran.
// Pure.
//
// Three are compared for each rule and port that was changed: what the configuration had when it was, what there is
// since then, and what the configuration has now. If the configuration is as it was, the change stands. If it has
// become what the change made of it, there is nothing left to change. If it has become something else, it counts, being
// the later word, and the change is dropped.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "control/switch/run_time_changes.hpp"

namespace sluice::control {

/// Tells a rule by its priority and match.
[[nodiscard]] std::string rule_key(const Rule& rule, const PortNames& names);

/// All settings of a port but its name, to be compared.
[[nodiscard]] std::string settings_of(const PortConfig& port);

/// A configuration, found by what changes are told by.
class Baseline {
 public:
  struct ConfiguredRule {
    std::string text;  ///< canonical
    Rule rule;         ///< with ids that are no more than the ports' places in the configuration
  };
  explicit Baseline(const Config& config);

  [[nodiscard]] std::optional<std::string> rule(const std::string& key) const;
  [[nodiscard]] std::optional<std::string> port(const std::string& name) const;
  [[nodiscard]] const std::map<std::string, ConfiguredRule>& rules() const { return rules_; }
  [[nodiscard]] const PortNames& names() const { return names_; }

 private:
  PortNames names_;
  std::map<std::string, std::string> ports_;
  std::map<std::string, ConfiguredRule> rules_;
};

struct EffectiveConfig {
  Config config;
  std::vector<Change> standing;      ///< those that still change something
  std::vector<std::string> dropped;  ///< a line for each that does not, though nobody has taken it back
};
[[nodiscard]] EffectiveConfig apply_changes(const Config& loaded, const std::vector<Change>& changes);

}  // namespace sluice::control
