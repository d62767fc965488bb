#include <algorithm>

#include <fmt/format.h>

#include "control/config/load_port.hpp"
#include "control/config/quantity.hpp"

namespace sluice::control {
namespace {

// IEEE 802.1Q: 0 is "no VLAN" and 4095 is reserved.
constexpr std::uint64_t kFirstVlan = 1;
constexpr std::uint64_t kLastVlan = 4094;

std::optional<std::uint16_t> read_vid(Mapping& keys, std::string_view key) {
  const auto vid = keys.integer(key, kFirstVlan, kLastVlan);
  return vid ? std::optional(static_cast<std::uint16_t>(*vid)) : std::nullopt;
}

/// Adds "10" or "10-20" to the VLANs.
void read_trunk_item(const Node& item, const std::string& label, Mapping& keys, std::vector<std::uint16_t>& vlans) {
  const auto range = item.kind == Node::Kind::scalar ? parse_range(item.text) : std::nullopt;
  if (!range || range->second > kLastVlan) {
    keys.diagnostics().add(
        item.mark, fmt::format("{} is {}; right is a VLAN from 0 (untagged) to {}, or a range such as 10-20", label,
                               described(item), kLastVlan));
    return;
  }
  for (std::uint64_t vid = range->first; vid <= range->second; ++vid) {
    const auto value = static_cast<std::uint16_t>(vid);
    if (std::find(vlans.begin(), vlans.end(), value) != vlans.end()) {
      keys.diagnostics().add(item.mark, fmt::format("{}: VLAN {} is there already; once is right", label, vid));
      return;
    }
    vlans.push_back(value);
  }
}

/// False if the trunk could not be read.
bool read_trunk(const Node& trunk, Mapping& keys, VlanConfig& vlan) {
  if (trunk.kind == Node::Kind::scalar && trunk.text == "all") return true;
  const auto item = [&](const Node& node, const std::string& label) {
    read_trunk_item(node, label, keys, vlan.trunks);
  };
  if (trunk.kind == Node::Kind::scalar) {
    item(trunk, keys.label() + ": trunk");  // one VLAN needs no list
  } else if (trunk.kind == Node::Kind::sequence && trunk.items.empty()) {
    keys.wrong_at(trunk.mark,
                  "trunk is an empty list, which carries nothing; right is a list such as [10, 20-30], or all");
  } else {
    keys.items_of(trunk, "trunk", item);
  }
  std::sort(vlan.trunks.begin(), vlan.trunks.end());
  return !vlan.trunks.empty();
}

}  // namespace

VlanConfig load_vlan(const Node& node, std::string label, Diagnostics& diagnostics) {
  Mapping keys(node, std::move(label), diagnostics);
  VlanConfig vlan;
  if (node.kind != Node::Kind::mapping) return vlan;

  static constexpr std::string_view kModes[] = {"access", "trunk", "dot1q-tunnel"};
  const Node* modes[] = {keys.find("access"), keys.find("trunk"), keys.find("dot1q-tunnel")};
  const auto given = std::count_if(std::begin(modes), std::end(modes), [](const Node* n) { return n != nullptr; });
  if (given != 1) {
    keys.wrong_at(keys.mark(), fmt::format("has {}; right is exactly one of {}",
                                           given == 0 ? "no mode" : "more than one mode", listed(kModes)));
  }

  bool trunk_known = true;
  if (modes[0] != nullptr) {
    vlan.mode = VlanConfig::Mode::access;
    vlan.tag = read_vid(keys, "access").value_or(0);
  } else if (modes[2] != nullptr) {
    vlan.mode = VlanConfig::Mode::dot1q_tunnel;
    vlan.tag = read_vid(keys, "dot1q-tunnel").value_or(0);
  } else if (modes[1] != nullptr) {
    trunk_known = read_trunk(*modes[1], keys, vlan);
  }

  if (keys.find("native") != nullptr) {
    vlan.native = read_vid(keys, "native");
    const bool in_trunk =
        vlan.trunks.empty() || std::binary_search(vlan.trunks.begin(), vlan.trunks.end(), vlan.native.value_or(0));
    if (given == 1 && modes[1] == nullptr) {
      keys.wrong("native",
                 fmt::format("native goes with trunk, not with {}", modes[0] != nullptr ? "access" : "dot1q-tunnel"));
    } else if (vlan.native && trunk_known && !in_trunk) {
      keys.wrong("native", fmt::format("native {} is not in trunk; add it there", *vlan.native));
    } else if (vlan.native && !vlan.trunks.empty() && vlan.trunks.front() == 0) {
      keys.wrong(
          "native",
          fmt::format("trunk has 0, untagged frames in no VLAN, and native puts them in VLAN {}; right is one of both",
                      *vlan.native));
    }
  }
  keys.finish();
  return vlan;
}

}  // namespace sluice::control
