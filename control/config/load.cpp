#include "control/config/load.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/config/load_port.hpp"
#include "control/config/sections.hpp"
#include "control/config/socket_path.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {
namespace {

struct Place {
  std::string label;
  Mark mark;
};

/// Tells of names and claims that two ports share.
void compare_ports(const Config& config, const std::vector<Place>& places, Diagnostics& diagnostics) {
  std::map<std::string, const Place*> taken;
  const auto take = [&](const std::string& what, const Place& place) {
    const auto [found, first] = taken.emplace(what, &place);
    if (first) return;
    diagnostics.add(place.mark, fmt::format("{}: {} is already that of {}, at {}", place.label, what,
                                            found->second->label, diagnostics.where(found->second->mark)));
  };
  const Place control{"the control socket", {}};
  taken.emplace(path_claim(config.control_socket), &control);
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const PortConfig& port = config.ports[i];
    if (!port.name.empty()) take("name " + in_quotes(port.name), places[i]);
    for (const std::string& claim : port.claims) take(claim, places[i]);
  }
}

void load_ports(Mapping& root, Config& config, Diagnostics& diagnostics) {
  const Node* list = root.require("ports", "ports: [{name: vm1, type: vhost-user, path: /run/sluice/vm1.sock}]");
  if (list == nullptr) return;
  std::vector<Place> places;
  root.items_of(*list, "ports", [&](const Node& node, const std::string& label) {
    config.ports.push_back(load_port(node, label, diagnostics));
    const std::string& name = config.ports.back().name;
    places.push_back({name.empty() ? label : fmt::format("{} {}", label, in_quotes(name)), node.mark});
    const std::string unfit = unfit_for_memory(config.ports.back(), config.memory);
    if (!unfit.empty()) diagnostics.add(node.mark, fmt::format("{}: {}", places.back().label, unfit));
  });
  if (config.ports.size() > flowtable::kMaxPorts) {
    root.wrong("ports", fmt::format("{} ports, a switch has at most {}", config.ports.size(), flowtable::kMaxPorts));
  }
  compare_ports(config, places, diagnostics);
}

/// A text by its lines.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// Whether `value` stands in the file just so from `mark` on: then its columns are the file's.
bool stands_at(const std::vector<std::string_view>& lines, Mark mark, std::string_view value) {
  if (mark.line > lines.size() || mark.column > lines[mark.line - 1].size()) return false;
  return lines[mark.line - 1].substr(mark.column - 1).starts_with(value);
}

void load_rules(std::string_view text, Mapping& root, Config& config, Diagnostics& diagnostics) {
  const std::vector<std::string_view> lines = lines_of(text);
  root.items("rules", [&](const Node& node, const std::string& label) {
    if (node.kind != Node::Kind::scalar || node.text.empty()) {
      diagnostics.add(
          node.mark,
          fmt::format("{} is {}; right is a rule such as priority=100,in_port=vm1,tcp,tp_dst=22,actions=drop", label,
                      node.kind == Node::Kind::scalar ? "empty" : described(node)));
      return;
    }
    // A quote stands in front of the rule's first column.
    const Mark mark{node.mark.line, node.mark.column + (node.plain ? 0U : 1U)};
    const std::string line =
        stands_at(lines, mark, node.text) ? fmt::format("{}:{}", diagnostics.source(), mark.line) : std::string();
    config.rules.push_back({node.text, diagnostics.where(mark), line, mark.column});
  });
}

Config load_document(std::string_view text, const Node& document, Diagnostics& diagnostics) {
  Config config;
  config.source = diagnostics.source();
  Mapping root(document, "", diagnostics);
  if (document.kind != Node::Kind::mapping) return config;
  load_memory(root, config.memory);
  load_bridge(root, config.bridge);
  load_flows(root, config.flows);
  load_recovery(root, config.recovery);
  load_control(root, config.control_socket);
  load_ports(root, config, diagnostics);
  load_pmd(root, config.ports, config.pmd);
  load_rules(text, root, config, diagnostics);
  root.finish();
  return config;
}

}  // namespace

std::string unfit_for_memory(const PortConfig& port, const MemoryConfig& memory) {
  if (port.type != "pci" || memory.hugepages) return {};
  return "a PCI device needs hugepages, and memory.hugepages is false; right is true, from the switch's start";
}

tl::expected<Config, LoadErrors> parse_config(std::string_view text, const std::string& source) {
  Diagnostics diagnostics(source);
  const NodePtr document = read_document(text, diagnostics);
  if (diagnostics.empty() && (document == nullptr || document->kind == Node::Kind::null)) {
    diagnostics.add({}, "is empty; a configuration has at least 'ports'");
  }
  Config config;
  if (diagnostics.empty()) config = load_document(text, *document, diagnostics);
  if (diagnostics.empty()) return config;
  const bool names_known =
      std::all_of(config.ports.begin(), config.ports.end(), [](const PortConfig& port) { return !port.name.empty(); });
  return tl::unexpected(LoadErrors{diagnostics.lines(), names_known ? std::optional(std::move(config)) : std::nullopt});
}

Expected<std::string> read_config_text(const std::string& path) {
  const auto failed = [&path](int error) {
    return tl::unexpected(Error{fmt::format("{}: cannot be read: {}", path, std::strerror(error))});
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return failed(EISDIR);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return failed(errno);
  // One byte more than is allowed, so that a file (or a device) without an end is told as too long.
  std::string text(kMaxDocumentBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return failed(errno);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

Expected<std::string> read_config_text_anew(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return tl::unexpected(Error{fmt::format(
        "{}: cannot be read anew: it is no regular file; right is one, which nobody has to wait for", path)});
  }
  return read_config_text(path);
}

Expected<PortConfig> parse_port(std::string_view text) {
  Diagnostics diagnostics("");
  if (text.size() > kMaxPortBytes) {
    return tl::unexpected(Error{fmt::format("{} bytes long, a port has at most {}", text.size(), kMaxPortBytes)});
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return tl::unexpected(Error{"no port given; write for example name=vm3 type=vhost-user path=/run/sluice/vm3.sock"});
  }
  const NodePtr node = text[first] == '{' ? read_document(text, diagnostics) : read_words(text, diagnostics);
  PortConfig port;
  if (node != nullptr && diagnostics.empty()) port = load_port(*node, "port", diagnostics);
  port.text = text;
  if (diagnostics.empty()) return port;
  return tl::unexpected(Error{fmt::format("{}", fmt::join(diagnostics.lines(), "\n"))});
}

}  // namespace sluice::control
