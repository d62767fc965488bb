// What the tests of the configuration share: texts in, values or error lines out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config/load.hpp"

namespace sluice::control {

/// The Config of a text that must be good.
inline Config good(std::string_view text) {
  auto config = parse_config(text, "t");
  if (config) return *std::move(config);
  for (const std::string& line : config.error().lines) ADD_FAILURE() << line;
  return {};
}

/// The error lines of a text that must be bad.
inline std::vector<std::string> bad(std::string_view text) {
  auto config = parse_config(text, "t");
  if (!config) return config.error().lines;
  ADD_FAILURE() << "no error in:\n" << text;
  return {};
}

/// A file, read and checked.
inline tl::expected<Config, LoadErrors> load_config(const std::string& path) {
  const auto text = read_config_text(path);
  if (!text) return tl::unexpected(LoadErrors{{text.error().message}, {}});
  return parse_config(*text, path);
}

/// `keys` of a port of a switch that has no other, and hugepages.
inline std::string with_port(std::string_view keys) {
  return "ports:\n  - {" + std::string(keys) + "}\nmemory: {hugepages: true}\n";
}
inline PortConfig good_port(std::string_view keys) {
  Config config = good(with_port(keys));
  return config.ports.empty() ? PortConfig{} : config.ports.front();
}
inline std::vector<std::string> bad_port(std::string_view keys) { return bad(with_port(keys)); }

/// The same for a section beside no ports.
inline std::string with_section(std::string_view section) { return "ports: []\n" + std::string(section) + "\n"; }

}  // namespace sluice::control
