#include "control/slowpath/slow_path.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice::control {
namespace {

using datapath::Command;
using datapath::Upcall;

// Bounds of one round, which together take well under a millisecond or two.
constexpr std::size_t kUpcallsARound = 512;
constexpr std::size_t kSettledARound = 4096;
constexpr std::size_t kRecheckedARound = 8192;
constexpr std::size_t kAgedARound = 256;
/// Places that are gone over at a time: a part of a millisecond.
constexpr std::size_t kListedAtOnce = 4096;

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

std::uint64_t nanoseconds(std::chrono::seconds time) { return static_cast<std::uint64_t>(time.count()) * kNsPerSecond; }

}  // namespace

SlowPath::SlowPath(const SlowPathOptions& options, std::vector<PmdLink> pmds)
    : options_(options),
      pmds_(std::move(pmds)),
      fdb_({options.bridge.mac_table_size, nanoseconds(options.bridge.mac_ageing), options.hash_secret},
           options.fdb_memory == nullptr ? FdbStore() : FdbStore(*options.fdb_memory, options.fdb_clock)),
      pipeline_(ports_, rules_, fdb_, options.bridge.flood),
      flows_(pmds_, pipeline_, rules_, fdb_, options.hash_secret),
      published_(std::make_unique<const datapath::MaskView>()),
      recheck_(flows_, masks_, pmds_),
      sweep_(flows_, pmds_, {nanoseconds(options.flows.idle_timeout), options.flows.limit}),
      memory_(pmds_),
      departures_(pmds_, flows_, upcalls_) {
  for (const auto& pmd : pmds_) pmd.publish_masks(published_.get());
}

SlowPath::~SlowPath() {
  for (const auto& pmd : pmds_) pmd.publish_masks(nullptr);
}

void SlowPath::take_up_fdb(std::uint64_t now_ns) {
  fdb_.take_up(now_ns, [this](FdbKey key, flowtable::PortId id) { return wants(key, id); });
  flows_.fdb_changed();
  sweep_.begin(now_ns);
  now_ns_ = now_ns;
  started_ = true;
}

void SlowPath::correct_adopted_flows(std::uint64_t now_ns) {
  if (!fdb_.previewed()) return;
  fdb_.preview(now_ns, [this](FdbKey key, flowtable::PortId id) { return wants(key, id); });
  flows_.fdb_changed();
  // Of more flows the rest is the rounds', which no guest waits for.
  static_cast<void>(flows_.settle(kSettledARound, now_ns));
  flows_.flush();
}

bool SlowPath::wants(FdbKey key, flowtable::PortId id) const {
  const auto* port = ports_.find(id);
  return port != nullptr && carries(port->vlan, vlan_of(key));
}

bool SlowPath::list_flows(FlowListing& listing, std::uint64_t now_ns) const {
  if (!listing.pass) {
    listing.pass.emplace(flows_.records(), pmds_.size());
    listing.pass->start();
  }
  listing.pass->go_on(kListedAtOnce, [&](FlowRef flow) {
    const auto& records = flows_.records();
    listing.list.add_flow({pmd_of(flow), records.entry(flow).key, records.idle_ns(flow, now_ns)});
  });
  if (listing.pass->left() != 0) return true;
  for (const auto port : ports_.ids()) {
    for (std::size_t i = 0; i < flowtable::kPacketClasses; ++i) {
      const auto packet_class = static_cast<flowtable::PacketClass>(i);
      listing.list.add_mask(port, packet_class, masks_.mask(port, packet_class));
    }
  }
  return false;
}

std::size_t SlowPath::adopt_flows(FlowListReader& list, std::uint64_t now_ns) {
  fdb_.preview(now_ns, [this](FdbKey key, flowtable::PortId id) { return wants(key, id); });
  flows_.fdb_changed();
  publish_masks();
  std::size_t adopted = 0;
  for (auto flows = list.next(); !flows.empty(); flows = list.next()) {
    for (const auto& [flow, mask] : flows) adopted += adopt(flow, *mask, now_ns) ? 1 : 0;
  }
  // What many flows ask of the first rounds, done now: guests wait for those.
  while (memory_.run(flows_.records())) continue;
  return adopted;
}

bool SlowPath::adopt(const ListedFlow& flow, const flowtable::FlowKey& mask_before, std::uint64_t now_ns) {
  if (flow.pmd >= pmds_.size() || ports_.find(flow.key.in_port) == nullptr) return false;
  if (flow.key.packet_class >= flowtable::kPacketClasses) return false;
  if (flows_.records().count(flow.pmd) >= sweep_.allowed(flow.pmd)) return false;
  const auto& [mask, generation] =
      masks_.mask(flow.key.in_port, static_cast<flowtable::PacketClass>(flow.key.packet_class));
  // More is read of such packets now than is known of this one.
  if (flowtable::merged(mask, mask_before) != mask_before) return false;
  auto masked = flowtable::masked(flow.key, mask);
  masked.mask_generation = generation;
  return flows_.adopt(flow.pmd, masked, now_ns - std::min(flow.idle_ns, now_ns));
}

bool SlowPath::run_once(std::uint64_t now_ns) {
  if (!started_) {
    // What was announced before there was a clock was heard just now.
    for (const auto& entry : fdb_.entries()) fdb_.refresh(entry.key, entry.port, now_ns);
    started_ = true;
  }
  now_ns_ = now_ns;
  bool worked = flows_.flush();
  worked |= publish_masks();
  flows_.begin_round(recheck_.carried_out());
  worked |= age_fdb(now_ns);
  worked |= take_upcalls();
  worked |= answer_upcalls(now_ns);
  worked |= flows_.settle(kSettledARound, now_ns);
  worked |= recheck_.run(kRecheckedARound, now_ns);
  worked |= memory_.run(flows_.records());
  worked |= sweep_.run(now_ns);
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) worked |= sweep_.make_room(pmd, upcalls_.size(pmd), now_ns);
  note_clean();
  departures_.run(flows_.settled() && !recheck_.pending());
  worked |= flows_.flush();
  flows_.end_round();
  tell_in_force();
  return worked;
}

std::optional<std::uint64_t> SlowPath::next_deadline() const {
  const auto ageing = fdb_.next_expiry_ns();
  const auto sweep = sweep_.due_ns();
  if (ageing && sweep) return std::min(*ageing, *sweep);
  return ageing ? ageing : sweep;
}

bool SlowPath::publish_masks() {
  auto view = masks_.rebuild(pipeline_);
  if (view == nullptr) return false;
  for (const auto& pmd : pmds_) pmd.publish_masks(view.get());
  flows_.bury(std::exchange(published_, std::move(view)));
  recheck_.masks_published();
  old_generations_ = true;
  return true;
}

bool SlowPath::age_fdb(std::uint64_t now_ns) {
  const auto ageing = nanoseconds(options_.bridge.mac_ageing);
  std::size_t aged = 0;
  for (; aged < kAgedARound; ++aged) {
    const auto oldest = fdb_.expired(now_ns);
    if (!oldest) break;
    // The sweep tells of packets up to a second late: here it matters.
    const auto enough = now_ns - std::min(now_ns, ageing / 2);
    const auto seen = flows_.source_seen_ns(oldest->key, oldest->port, now_ns, enough);
    if (seen > oldest->seen_ns) {
      fdb_.refresh(oldest->key, oldest->port, seen);
    } else {
      fdb_.erase(oldest->key);
    }
  }
  if (aged != 0) flows_.fdb_changed();
  return aged != 0;
}

/// All that there are, so that none is behind another port's. They come to an end: a PMD has only so many flows
/// pending, and none of those is answered here.
bool SlowPath::take_upcalls() {
  bool any = false;
  std::array<Upcall, 64> batch;
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    while (const auto count = pmds_[pmd].upcalls->pop(batch)) {
      for (std::size_t i = 0; i < count; ++i) upcalls_.push({batch[i], pmd});
      any = true;
    }
  }
  return any;
}

bool SlowPath::answer_upcalls(std::uint64_t now_ns) {
  std::size_t answered = 0;
  for (; answered < kUpcallsARound; ++answered) {
    const auto next = upcalls_.pop();
    if (!next) break;
    const auto& [upcall, pmd] = *next;
    const auto flow = flow_ref(pmd, upcall.entry);
    if (ports_.find(upcall.key.in_port) == nullptr) {
      flows_.answer(flow, Command::Kind::remove);
    } else if (!masks_.current(upcall.key)) {
      flows_.answer(flow, Command::Kind::reclassify);
    } else {
      flows_.install(flow, upcall.key, now_ns);
    }
  }
  return answered != 0;
}

void SlowPath::note_clean() {
  if (!old_generations_ || recheck_.pending() || upcalls_waiting() != 0) return;
  masks_.all_clean();
  old_generations_ = false;
}

void SlowPath::tell_in_force() {
  if (in_force_.empty() || !recheck_.carried_out()) return;
  for (const auto& then : std::exchange(in_force_, {})) then();
}

std::size_t SlowPath::upcalls_waiting() const {
  std::size_t waiting = upcalls_.size();
  for (const auto& pmd : pmds_) waiting += pmd.upcalls->size();
  return waiting;
}

}  // namespace sluice::control
