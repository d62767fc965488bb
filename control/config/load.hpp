// Loading: from a YAML file to a Config, or to everything that is wrong with it.
//
// Strict on purpose: a key that is not known, a value of the wrong type, a thing that is there twice, or a
// combination that cannot be is an error that says where it is, what it is, and what would be right. Rules are kept
// as text with their places; their own parser judges them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "control/config/config.hpp"
#include "control/error.hpp"

namespace sluice::control {

/// All that is wrong, a line each, in the file's order: "switch.yaml:12:5: ports[2] 'vm1': …".
struct LoadErrors {
  std::vector<std::string> lines;
  /// What of it could be read, if that is all ports' names and the rules: rules can then be judged as well.
  std::optional<Config> rest;
};

/// A file's bytes; at most one more than a configuration may have.
[[nodiscard]] Expected<std::string> read_config_text(const std::string& path);
/// The same while guests are served, who cannot wait until somebody writes to a pipe: of a regular file only.
[[nodiscard]] Expected<std::string> read_config_text_anew(const std::string& path);

/// Checks a file's text; `source` is what messages call it.
[[nodiscard]] tl::expected<Config, LoadErrors> parse_config(std::string_view text, const std::string& source);

/// One port as `sluice port add` has it: words such as `name=vm3 type=vhost-user path=/run/vm3.sock vlan.access=10`
/// (lists with commas: vlan.trunk=10,20-30), or the mapping as it would stand in a file, `{name: vm3, …}`, JSON
/// included. What other ports claim is not known here: see PortConfig::claims.
[[nodiscard]] Expected<PortConfig> parse_port(std::string_view text);

/// Why a port cannot be with this memory, and what would be right; empty if it can. Checked for a file's ports already.
[[nodiscard]] std::string unfit_for_memory(const PortConfig& port, const MemoryConfig& memory);

}  // namespace sluice::control
