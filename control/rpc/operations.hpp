// Operations: what the RPC methods ask of a switch, as functions: a real one's, or a test's. Control thread; what takes
// a Then may answer later. Meanings, units and errors: control/switch.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "control/error.hpp"
#include "control/switch.hpp"

namespace sluice::control {

struct Operations {
  template <typename T>
  using Then = Switch::Then<T>;

  std::function<void(Then<StatusReport>)> status;
  std::function<std::vector<PortReport>()> ports;
  std::function<std::vector<DropReport>()> drops;
  std::function<std::vector<PmdReport>()> pmds;
  std::function<MemoryReport()> memory;
  std::function<void(std::size_t, Then<std::pair<std::vector<FlowReport>, std::size_t>>)> flows;
  std::function<void(Then<std::vector<FdbReport>>)> fdb;
  std::function<void(Then<std::vector<RuleReport>>)> rules;
  std::function<void()> clear_stats;
  std::function<void(const std::string&, Then<Expected<std::size_t>>)> flush_fdb;
  std::function<void(const std::string&, Then<Expected<void>>)> add_rule;
  std::function<void(const std::string&, Then<Expected<std::size_t>>)> delete_rules;
  std::function<void(const PortConfig&, Then<Expected<void>>)> add_port;
  std::function<void(const std::string&, Then<Expected<void>>)> delete_port;
  std::function<void(const std::string&, Then<Expected<std::vector<std::string>>>)> trace;
  std::function<Expected<void>(const std::string&)> set_log_level;
  /// `binary` empty: what is where the switch was first started, whatever runs now. The time is for the new version to
  /// be ready in.
  std::function<void(const std::string&, std::chrono::milliseconds, Then<Expected<void>>)> upgrade;
  /// The text of a port, as in the configuration's `ports`, to its settings.
  std::function<Expected<PortConfig>(const std::string&)> parse_port;
};

/// `the_switch` outlives what is returned.
[[nodiscard]] Operations operations_of(Switch& the_switch);

}  // namespace sluice::control
