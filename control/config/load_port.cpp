#include "control/config/load_port.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "control/config/port_types.hpp"
#include "control/rules/words.hpp"

namespace sluice::control {
namespace {

constexpr std::size_t kLongestName = 32;
constexpr std::uint64_t kLeastMtu = 68;  // RFC 791: every host forwards that much
constexpr std::uint64_t kMostMtu = 9702;

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

/// A port without a good name is still read, under the name it has.
std::string read_name(Mapping& keys) {
  if (keys.require("name", "name: vm1") == nullptr) return {};
  const auto name = keys.text("name");
  if (!name) return {};
  keys.rename(fmt::format("{} {}", keys.label(), in_quotes(*name)));
  if (name->size() > kLongestName) {
    keys.wrong("name", fmt::format("name is {} bytes long, a port's has at most {}", name->size(), kLongestName));
  } else if (!std::all_of(name->begin(), name->end(), is_name_character)) {
    keys.wrong("name", fmt::format("name {} has more in it than letters, digits, and _ . -", in_quotes(*name)));
  } else if (*name == "." || *name == "..") {
    keys.wrong("name", fmt::format("name {} cannot name a file; right is a word such as vm1", in_quotes(*name)));
  } else if (is_reserved_word(*name)) {
    keys.wrong("name", fmt::format("name {} is a word of the rules' syntax; right is another, such as {}0",
                                   in_quotes(*name), *name));
  }
  return *name;
}

const PortType* read_type(Mapping& keys) {
  if (keys.require("type", "type: vhost-user") == nullptr) return nullptr;
  std::vector<std::string_view> names;
  for (const PortType& type : port_types()) names.push_back(type.name);
  const auto index = keys.choice("type", names);
  return index ? &port_types()[*index] : nullptr;
}

void read_queues(const PortType& type, Mapping& keys, PortConfig& port) {
  port.queues = static_cast<std::uint16_t>(keys.integer("queues", 1, type.most_queues).value_or(type.default_queues));
  port.queue_size = type.default_queue_size;
  if (const auto size = keys.integer("queue_size", 64, type.most_queue_size)) {
    if (std::has_single_bit(*size)) {
      port.queue_size = static_cast<std::uint16_t>(*size);
    } else {
      keys.wrong("queue_size", fmt::format("queue_size {} is no power of two; {} or {} would be", *size,
                                           std::bit_floor(*size), std::bit_ceil(*size)));
    }
  }
}

}  // namespace

PortConfig load_port(const Node& node, std::string label, Diagnostics& diagnostics) {
  Mapping keys(node, std::move(label), diagnostics);
  PortConfig port;
  if (node.kind != Node::Kind::mapping) return port;
  port.name = read_name(keys);
  const PortType* type = read_type(keys);
  if (const Node* vlan = keys.find("vlan")) port.vlan = load_vlan(*vlan, keys.label() + ": vlan", diagnostics);
  port.mtu = static_cast<std::uint16_t>(keys.integer("mtu", kLeastMtu, kMostMtu).value_or(port.mtu));
  if (type == nullptr) return port;  // which keys belong to it cannot be told
  port.type = type->name;
  read_queues(*type, keys, port);
  read_type_keys(*type, keys, port);
  keys.finish();
  return port;
}

}  // namespace sluice::control
