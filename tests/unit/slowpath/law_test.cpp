// The law: at every moment the flow table says of a packet what the pipeline decides for it; a change reaches every
// flow that depended on it, and only those.
#include <algorithm>
#include <vector>

#include "control/rules/packet_class.hpp"
#include "tests/unit/rules/random_rule.hpp"
#include "tests/unit/slowpath/world.hpp"

namespace sluice::control::test {
namespace {

using flowtable::FlowKey;
using flowtable::PortId;
using testing::Random;

struct Seen {
  const flowtable::FlowEntry* entry = nullptr;
  const flowtable::Decision* decision = nullptr;
  const flowtable::ActionList* list = nullptr;
  std::uint64_t packets = 0;
  DecisionInputs inputs{};
  std::vector<flowtable::Action> says;
  bool source_known = false;
  std::uint16_t generation = 0;
};

class Law : public ::testing::TestWithParam<int> {
 protected:
  Law() : random_(static_cast<std::uint64_t>(GetParam())), world_(options()) {}

  static SlowPathOptions options() {
    SlowPathOptions options;
    options.bridge.mac_table_size = 12;  // so that addresses are pushed out as well
    return options;
  }

  unsigned below(unsigned n) { return testing::below(random_, n); }

  VlanConfig random_vlan() {
    switch (below(5)) {
      case 0: return access(static_cast<std::uint16_t>(1 + below(3)));
      case 1: return tunnel(static_cast<std::uint16_t>(1 + below(3)));
      case 2: return trunk({}, static_cast<std::uint16_t>(below(3)));
      case 3: return trunk({0, 1, 2});
      default: return trunk();
    }
  }

  [[nodiscard]] bool there(PortId port) const { return world_.slow->port_names().all().contains(name(port)); }
  static std::string name(PortId port) { return "p" + std::to_string(port); }

  [[nodiscard]] Seen look(const FlowKey& key) const {
    Seen seen;
    if (!there(key.in_port)) return seen;
    seen.generation = world_.pmd->masked(key).mask_generation;
    seen.inputs = world_.slow->pipeline().inputs(key);
    auto outcome = world_.slow->pipeline().decide(seen.inputs);
    seen.says = outcome.actions;
    seen.source_known = true;
    const auto fdb = world_.slow->fdb();
    for (const auto source : outcome.learn) {
      seen.source_known &=
          std::ranges::any_of(fdb, [&](const auto& entry) { return entry.key == source && entry.port == key.in_port; });
    }
    seen.entry = world_.pmd->find(key);
    if (seen.entry == nullptr) return seen;
    seen.decision = seen.entry->decision;
    seen.packets = seen.entry->own_packets();
    if (seen.decision != nullptr) seen.list = seen.decision->actions();
    return seen;
  }

  void check_law() const {
    for (const auto& key : keys_) {
      const auto seen = look(key);
      if (seen.entry == nullptr) continue;
      ASSERT_NE(seen.decision, nullptr) << "settled, and still pending";
      ASSERT_TRUE(std::ranges::equal(seen.list->actions(), seen.says))
          << "the table says " << world_.installed(key) << ", the pipeline " << world_.decided(key);
      ASSERT_TRUE(seen.source_known) << "a flow whose source is not learnt would never teach it";
      // What the masks leave out does not matter.
      ASSERT_EQ(world_.slow->pipeline().inputs(key),
                world_.slow->pipeline().inputs(flowtable::merged(
                    seen.entry->key, class_facts(static_cast<flowtable::PacketClass>(key.packet_class)).value)));
    }
  }

  /// Returns the port whose own setting has changed, if any: all that comes in through it depended on that.
  PortId change() {
    const auto port = static_cast<PortId>(below(testing::kPorts));
    PortId changed = flowtable::kNoPort;
    switch (below(12)) {
      case 0:
      case 1:
        world_.slow->set_port(port, name(port), random_vlan());
        changed = port;
        break;
      case 2:
        world_.slow->remove_port(port);
        changed = port;
        break;
      case 3:
      case 4:
      case 5: {
        auto rule = testing::random_rule(random_);
        rules_.push_back(rule);
        world_.slow->add_rule(std::move(rule));
        break;
      }
      case 6:
      case 7:
      case 8:
        if (rules_.empty()) break;
        world_.slow->delete_rule(rules_[below(static_cast<unsigned>(rules_.size()))]);
        break;
      case 9: world_.slow->flush_fdb(port); break;
      case 10:
        if (!keys_.empty()) world_.slow->announce(keys_[below(static_cast<unsigned>(keys_.size()))].dl_dst, port);
        break;
      default: world_.wait(below(400) * kSecond); return changed;
    }
    world_.settle();
    return changed;
  }

  void packet() {
    const auto port = static_cast<PortId>(below(testing::kPorts));
    if (!there(port)) return;
    const auto key = !keys_.empty() && below(3) == 0
                         ? keys_[below(static_cast<unsigned>(keys_.size()))]
                         : testing::random_key(random_, testing::random_class(random_), port);
    if (!there(key.in_port)) return;
    if (keys_.size() < 200) keys_.push_back(key);
    world_.send(key);
    world_.now += kSecond / 100;
    ASSERT_NE(world_.installed(key), "");
  }

  Random random_;
  World world_;
  std::vector<FlowKey> keys_;
  std::vector<Rule> rules_;
};

TEST_P(Law, the_table_says_what_the_pipeline_decides_and_changes_reach_only_dependents) {
  for (PortId port = 0; port < testing::kPorts; ++port) world_.port(port);
  std::size_t untouched = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 12; ++i) packet();
    check_law();
    if (HasFatalFailure()) return;
    std::vector<Seen> before;
    for (const auto& key : keys_) before.push_back(look(key));
    const auto then = world_.now;
    const auto changed = change();
    check_law();
    if (HasFatalFailure()) return;
    if (world_.now != then) continue;  // time has its own effects
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const auto after = look(keys_[i]);
      const auto& was = before[i];
      if (was.entry == nullptr || was.inputs != after.inputs || was.says != after.says || !after.source_known ||
          was.generation != after.generation || keys_[i].in_port == changed) {
        continue;
      }
      ASSERT_EQ(after.entry, was.entry) << "a flow that did not depend on the change is gone";
      ASSERT_EQ(after.decision, was.decision);
      ASSERT_EQ(after.list, was.list);
      ASSERT_EQ(after.packets, was.packets);
      ++untouched;
    }
  }
  EXPECT_GT(untouched, 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Law, ::testing::Range(0, 25));

}  // namespace
}  // namespace sluice::control::test
