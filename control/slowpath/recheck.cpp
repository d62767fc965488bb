#include "control/slowpath/recheck.hpp"

#include <algorithm>
#include <utility>

#include "control/rules/packet_class.hpp"

namespace sluice::control {
namespace {

/// With more added rules than this, looking each flow up is cheaper than trying each rule.
constexpr std::size_t kFewRules = 16;

}  // namespace

void Recheck::rule_added(const Rule& rule) {
  added_.push_back({rule.value, rule.mask});
  start();
}

void Recheck::rule_gone(std::uint64_t id) {
  gone_.insert(id);
  start();
}

void Recheck::masks_published() {
  // Until a PMD uses the new masks, it would make again what is removed here.
  tokens_ = grace_tokens(pmds_);
  start();
}

void Recheck::start() { left_ = length_ = walk_.length(); }

bool Recheck::carried_out() {
  if (pending()) return false;
  if (sent_ && sent_->out(pmds_, flows_.outboxes())) sent_.reset();
  return !sent_;
}

bool Recheck::run(std::size_t places, std::uint64_t now_ns) {
  if (left_ == 0) {
    added_.clear();
    gone_.clear();
  }
  auto superseded = flows_.next_superseded();
  if (left_ == 0 && superseded == kNoFlow) return false;
  if (!grace_passed(pmds_, tokens_)) return false;
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    if (flows_.congested(pmd)) return false;
  }
  for (auto more = places; more != 0 && superseded != kNoFlow; --more, superseded = flows_.next_superseded()) {
    look_at(superseded, now_ns);
  }
  if (left_ == 0) return true;
  // New flows may have taken places in between, which the round goes over as well: without them in the count it would
  // end before it came to those behind its start.
  left_ += walk_.length() - std::exchange(length_, walk_.length());
  const auto now = std::min(places, left_);
  walk_.next(now, [&](FlowRef flow) {
    if (!masks_.current(flows_.records().entry(flow).key) || suspicious(flow)) look_at(flow, now_ns);
  });
  left_ -= now;
  if (left_ == 0) sent_.emplace(flows_.outboxes());
  return true;
}

void Recheck::look_at(FlowRef flow, std::uint64_t now_ns) {
  if (masks_.current(flows_.records().entry(flow).key)) {
    flows_.recheck(flow, now_ns);
  } else {
    flows_.drop(flow, now_ns);
  }
}

bool Recheck::suspicious(FlowRef flow) const {
  if (gone_.contains(flows_.decision(flow).inputs.rule) || added_.size() > kFewRules) return true;
  const auto& key = flows_.records().entry(flow).key;
  const auto packet = flowtable::merged(key, class_facts(static_cast<flowtable::PacketClass>(key.packet_class)).value);
  return std::ranges::any_of(added_,
                             [&](const Match& rule) { return flowtable::masked(packet, rule.mask) == rule.value; });
}

}  // namespace sluice::control
