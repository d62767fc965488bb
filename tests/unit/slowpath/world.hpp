// World: a slow path with model PMDs, a clock, and short words for ports, rules and packets.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "control/rules/format.hpp"
#include "control/rules/parse.hpp"
#include "control/slowpath/slow_path.hpp"
#include "tests/unit/slowpath/model_pmd.hpp"

namespace sluice::control::test {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

inline VlanConfig access(std::uint16_t tag) {
  return {.mode = VlanConfig::Mode::access, .tag = tag, .trunks = {}, .native = {}};
}
inline VlanConfig tunnel(std::uint16_t tag) {
  return {.mode = VlanConfig::Mode::dot1q_tunnel, .tag = tag, .trunks = {}, .native = {}};
}
inline VlanConfig trunk(std::vector<std::uint16_t> vlans = {}, std::optional<std::uint16_t> native = {}) {
  return {.mode = VlanConfig::Mode::trunk, .tag = 0, .trunks = std::move(vlans), .native = native};
}

struct World {
  explicit World(SlowPathOptions options = {}, std::size_t capacity = 4096, std::size_t ring_size = 4096)
      : pmd(std::make_unique<ModelPmd>(capacity, ring_size)),
        slow(std::make_unique<SlowPath>(options, std::vector<PmdLink>{pmd->link()})) {}

  void port(flowtable::PortId id, const VlanConfig& vlan = {}) {
    slow->set_port(id, "p" + std::to_string(id), vlan);
    settle();
  }
  Rule parsed(const std::string& text) const {
    auto rule = parse_rule(text, slow->port_names());
    EXPECT_TRUE(rule) << text << ": " << (rule ? "" : rule.error().message);
    return *rule;
  }
  void rule(const std::string& text) {
    slow->add_rule(parsed(text));
    settle();
  }
  [[nodiscard]] flowtable::FlowKey key(const std::string& text) const {
    auto key = parse_packet(text, slow->port_names());
    EXPECT_TRUE(key) << text << ": " << (key ? "" : key.error().message);
    return *key;
  }
  void send(const std::string& text) { send(key(text)); }
  void send(const flowtable::FlowKey& key) {
    pmd->packet(key, now);
    settle();
  }
  /// Until nobody has anything to do.
  void settle() {
    for (bool worked = true; worked;) {
      worked = slow->run_once(now);
      pmd->run(now);
    }
  }
  /// Lets time pass, with rounds whenever one is due.
  void wait(std::uint64_t ns) {
    const auto end = now + ns;
    for (auto next = slow->next_deadline(); next && *next <= end; next = slow->next_deadline()) {
      now = std::max(now, *next);
      settle();
      if (slow->next_deadline() == next) break;
    }
    now = end;
    settle();
  }
  /// What the flow table says; empty if the packet would come up.
  [[nodiscard]] std::string installed(const flowtable::FlowKey& key) const {
    const auto* entry = pmd->find(key);
    if (entry == nullptr || entry->decision == nullptr) return "";
    return format_actions(*entry->decision->actions(), slow->port_names());
  }
  [[nodiscard]] std::string decided(const flowtable::FlowKey& key) const {
    return format_actions(flowtable::ActionList(slow->pipeline().decide(key).actions), slow->port_names());
  }
  [[nodiscard]] std::string actions(const std::string& text) {
    send(text);
    return installed(key(text));
  }

  std::uint64_t now = 1000 * kSecond;
  std::unique_ptr<ModelPmd> pmd;
  std::unique_ptr<SlowPath> slow;
};

inline std::string mac(unsigned n) {
  char text[18];
  std::snprintf(text, sizeof text, "02:00:00:00:%02x:%02x", n >> 8U & 0xffU, n & 0xffU);
  return text;
}

}  // namespace sluice::control::test
