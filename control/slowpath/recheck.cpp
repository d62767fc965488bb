#include "control/slowpath/recheck.hpp"

#include <algorithm>

#include "control/rules/packet_class.hpp"

namespace sluice::control {
namespace {

/// With more added rules than this, looking each flow up is cheaper than trying each rule.
constexpr std::size_t kFewRules = 16;
/// Of the records that are looked up, one in so many is also looked at to be removed: changes may come for ever.
constexpr std::size_t kRemoveLater = 8;

}  // namespace

void Recheck::rule_added(const Rule& rule) {
  added_.push_back({rule.value, rule.mask});
  look_up_.start();
}

void Recheck::rule_gone(std::uint64_t id) {
  gone_.insert(id);
  look_up_.start();
}

void Recheck::masks_published() {
  // Until a PMD uses the new masks, it would make again what is removed here.
  tokens_ = grace_tokens(pmds_);
  look_up_.start();
  remove_.start();
}

bool Recheck::carried_out() {
  if (look_up_.left() != 0) return false;
  if (sent_ && sent_->out(pmds_, flows_.outboxes())) sent_.reset();
  return !sent_;
}

bool Recheck::run(std::size_t places, std::uint64_t now_ns) {
  if (look_up_.left() == 0) {
    added_.clear();
    gone_.clear();
  }
  auto superseded = flows_.next_superseded();
  if (!pending() && superseded == kNoFlow) return false;
  if (!grace_passed(pmds_, tokens_)) return false;
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    if (flows_.congested(pmd)) return false;
  }
  for (auto more = places; more != 0 && superseded != kNoFlow; --more, superseded = flows_.next_superseded()) {
    if (reachable(superseded)) {
      flows_.recheck(superseded, now_ns);
    } else {
      flows_.drop(superseded, now_ns);
    }
  }
  remove_.go_on(look_up_.left() == 0 ? places : places / kRemoveLater, [&](FlowRef flow) {
    if (!reachable(flow)) flows_.drop(flow, now_ns);
  });
  if (look_up_.left() == 0) return true;
  look_up_.go_on(places, [&](FlowRef flow) {
    if (reachable(flow) && suspicious(flow)) flows_.recheck(flow, now_ns);
  });
  if (look_up_.left() == 0) sent_.emplace(flows_.outboxes());
  return true;
}

bool Recheck::reachable(FlowRef flow) const { return masks_.current(flows_.records().entry(flow).key); }

bool Recheck::suspicious(FlowRef flow) const {
  if (gone_.contains(flows_.decision(flow).inputs.rule) || added_.size() > kFewRules) return true;
  const auto& key = flows_.records().entry(flow).key;
  const auto packet = flowtable::merged(key, class_facts(static_cast<flowtable::PacketClass>(key.packet_class)).value);
  return std::ranges::any_of(added_,
                             [&](const Match& rule) { return flowtable::masked(packet, rule.mask) == rule.value; });
}

}  // namespace sluice::control
