#include "control/switch/pmd_set.hpp"

#include <fmt/core.h>
#include <numa.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

#include "control/switch/pmd_choice.hpp"

namespace sluice::control {

using datapath::PortView;
using datapath::TxPort;
using flowtable::PortId;

namespace {

/// How long a PMD may take for a loop before it is taken to wait for something. Loops take microseconds.
constexpr std::chrono::milliseconds kPatience{20};
constexpr std::chrono::microseconds kLook{5};
/// How long the slow path may take to decide what waits when a queue changes hands. It takes milliseconds; should it
/// not answer at all, order is given up and not the port.
constexpr std::chrono::milliseconds kDecisionPatience{1000};

}  // namespace

Expected<PmdSet> PmdSet::create(const PmdConfig& config, datapath::PmdOptions options, PortTallies* tallies,
                                Heartbeat* heartbeat) {
  PmdSet set(config);
  options.doorbell = set.doorbell_.get();
  if (tallies == nullptr) {
    auto own = flowtable::Mapping::create(sizeof(PortTallies));
    if (!own) return tl::unexpected(Error{fmt::format("no memory for counters: {}", std::strerror(own.error()))});
    set.own_tallies_ = std::move(*own);
    tallies = reinterpret_cast<PortTallies*>(set.own_tallies_.data());  // all zero, as it is to begin
  }
  set.tallies_ = tallies;
  set.heartbeat_ = heartbeat;
  for (const unsigned core : config.cores) {
    options.loop = heartbeat == nullptr ? nullptr : &heartbeat->pmds[set.members_.size()].loop;
    auto pmd = datapath::Pmd::create(options);
    if (!pmd) {
      return tl::unexpected(Error{fmt::format("PMD on core {}: a flow table of {} flows cannot be had: {}", core,
                                              options.flow_limit, std::strerror(pmd.error()))});
    }
    set.members_.push_back(
        Member{core, numa_available() < 0 ? 0 : numa_node_of_cpu(static_cast<int>(core)), std::move(*pmd), nullptr});
  }
  set.last_loops_.resize(set.members_.size(), ~std::uint64_t{0});
  return set;
}

PmdSet::~PmdSet() { end_threads(); }

void PmdSet::make_threads() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    member.thread = std::make_unique<datapath::PmdThread>(*member.pmd, member.core, config_.idle_sleep);
    show_thread(i);
  }
}

/// To whoever looks whether it lives.
void PmdSet::show_thread(std::size_t member) const {
  if (heartbeat_ == nullptr) return;
  const auto& thread = members_[member].thread;
  // relaxed: a number for itself.
  heartbeat_->pmds[member].thread.store(thread == nullptr ? 0 : static_cast<std::uint32_t>(thread->kernel_id()),
                                        std::memory_order_relaxed);
}

void PmdSet::start_threads() {
  for (Member& member : members_) member.thread->go();
}

void PmdSet::rest_threads() {
  for (Member& member : members_) member.thread->rest();
}

void PmdSet::end_threads() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    members_[i].thread.reset();
    show_thread(i);
  }
}

void PmdSet::wait() const {
  std::vector<std::uint64_t> tokens;
  tokens.reserve(members_.size());
  for (const Member& member : members_) tokens.push_back(member.pmd->loop().token());
  for (std::size_t i = 0; i < members_.size(); ++i) {
    auto patience = std::chrono::steady_clock::now() + kPatience;
    while (!members_[i].pmd->loop().passed(tokens[i])) {
      // No yield: who yields to a program that spins on the same core gets it back after milliseconds.
      std::this_thread::sleep_for(kLook);
      if (members_[i].thread == nullptr || std::chrono::steady_clock::now() < patience) continue;
      members_[i].thread->interrupt();  // a peer may hold it up; see interrupt_stalled()
      if (waiting_) waiting_();
      patience += kPatience;
    }
  }
}

void PmdSet::interrupt_stalled() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const std::uint64_t loops = members_[i].pmd->loop().value();
    const bool inside = (loops & 1U) != 0;
    if (inside && loops == last_loops_[i] && members_[i].thread != nullptr) members_[i].thread->interrupt();
    last_loops_[i] = loops;
  }
}

std::optional<std::size_t> PmdSet::pinned(const PortQueues& port, std::size_t queue) const {
  for (const PinnedQueue& pin : config_.pinned) {
    if (pin.port != port.name || pin.queue != queue) continue;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].core == pin.core) return i;
    }
  }
  return std::nullopt;
}

/// Pinned queues go where they are pinned, the others where there is least to do. Ports are in the order they were
/// added, so a new one moves none of the old.
std::vector<PmdSet::Polled> PmdSet::assign(const std::vector<PortQueues>& ports) const {
  std::vector<Polled> out;
  std::vector<PmdLoad> load;
  for (const Member& member : members_) load.push_back({member.numa_node, 0});
  for (const PortQueues& port : ports) {
    for (std::size_t q = 0; q < std::max(port.rx.size(), port.rx_places); ++q) {
      const auto pin = pinned(port, q);
      const std::size_t member = pin ? *pin : choose_pmd(load, port.numa_node);
      ++load[member].queues;
      if (q < port.rx.size()) out.push_back(Polled{port.rx[q], port.id, static_cast<std::uint16_t>(q), member});
    }
  }
  return out;
}

/// The ports of which a queue is polled by one PMD now and by another next.
std::set<PortId> PmdSet::moving_to(const std::vector<Polled>& next) const {
  std::set<PortId> moving;
  for (const Polled& now : current_.rx) {
    const bool moves = std::any_of(next.begin(), next.end(), [&](const Polled& n) {
      return n.port == now.port && n.queue_id == now.queue_id && n.member != now.member;
    });
    if (moves) moving.insert(now.port);
  }
  return moving;
}

/// Packets of a port whose queues have been taken from their PMDs may wait there for the slow path to decide their
/// flow. Returns when they have been sent: those that follow, with the next PMD, would overtake them. None is added
/// meanwhile, as nobody polls the port.
void PmdSet::wait_for_decisions(const std::set<PortId>& taken) const {
  const auto latest = std::chrono::steady_clock::now() + kDecisionPatience;
  const auto some_wait = [&] {
    return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return member.thread != nullptr &&
             std::any_of(taken.begin(), taken.end(), [&](PortId port) { return member.pmd->has_waiting(port); });
    });
  };
  do {
    while (some_wait() && std::chrono::steady_clock::now() < latest) std::this_thread::sleep_for(kLook);
    wait();  // a PMD that looks waiting packets up anew has none for a moment, within a loop
  } while (some_wait() && std::chrono::steady_clock::now() < latest);
}

void PmdSet::use(const std::vector<PortQueues>& ports) {
  tallies_->use_rows(members_.size());
  std::vector<Polled> next = assign(ports);
  if (members_.size() > 1) {
    // A queue that changes hands is first taken from the one, then given to the other; and while the PMDs differ in
    // which Tx queues they use, all of them lock. All queues of its port pause with it, so that an end comes of what
    // waits.
    const std::set<PortId> moving = moving_to(next);
    std::vector<Polled> staying;
    for (const Polled& now : current_.rx) {
      const bool stays = std::any_of(next.begin(), next.end(), [&](const Polled& n) {
        return n.port == now.port && n.queue_id == now.queue_id && n.member == now.member;
      });
      if (stays && !moving.contains(now.port)) staying.push_back(now);
    }
    publish(staying, current_.ports, Locks::everywhere);
    if (!moving.empty()) wait_for_decisions(moving);
    publish(staying, ports, Locks::everywhere);
  }
  publish(next, ports, Locks::where_shared);
  current_ = Layout{std::move(next), ports};
}

void PmdSet::publish(const std::vector<Polled>& rx, const std::vector<PortQueues>& ports, Locks locks) {
  std::vector<std::unique_ptr<const PortView>> old;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    old.push_back(members_[i].pmd->publish_ports(view_for(i, rx, ports, locks)));
  }
  wait();
}

std::unique_ptr<const PortView> PmdSet::view_for(std::size_t member, const std::vector<Polled>& rx,
                                                 const std::vector<PortQueues>& ports, Locks locks) {
  auto view = std::make_unique<PortView>();
  std::set<PortId> polled;
  for (const Polled& p : rx) {
    if (p.member != member) continue;
    view->rx.push_back(datapath::PolledQueue{p.queue, p.port, p.queue_id, counters_of({member, p.port, p.queue_id})});
    polled.insert(p.port);
  }
  view->polled_ports = std::max<std::size_t>(polled.size(), 1);

  // Counters for every id: packets of a port that went may still be waiting.
  view->tx.resize(flowtable::kMaxPorts);
  for (PortId id = 0; id < flowtable::kMaxPorts; ++id) view->counters.push_back(&tallies_->counters(member, id));
  for (const PortQueues& port : ports) {
    TxPort& tx = view->tx[port.id];
    tx.max_frame = port.max_frame;
    if (port.tx.empty()) continue;
    // With queues enough, each PMD has its own, and its flows are spread over them; with fewer, PMDs share.
    const std::size_t first = member % port.tx.size();
    for (std::size_t q = first; q < port.tx.size(); q += members_.size()) tx.queues.push_back(port.tx[q]);
    const bool shared = port.tx.size() < members_.size();
    if (members_.size() > 1 && (shared || locks == Locks::everywhere)) {
      tx.lock = lock_of(port.id);
    }
  }
  return view;
}

datapath::TxLock* PmdSet::lock_of(PortId port) {
  auto& lock = locks_[port];
  if (!lock) lock = std::make_unique<datapath::TxLock>();
  return lock.get();
}

datapath::QueueCounters* PmdSet::counters_of(const QueueId& queue) {
  auto& counters = queue_counters_[queue];
  if (!counters) counters = std::make_unique<datapath::QueueCounters>();
  return counters.get();
}

void PmdSet::forget(PortId port) {
  std::erase_if(queue_counters_, [port](const auto& entry) { return entry.first.port == port; });
}

std::vector<PmdSet::Queue> PmdSet::queues() const {
  std::vector<Queue> out;
  out.reserve(current_.rx.size());
  for (const Polled& p : current_.rx) {
    const QueueId id{p.member, p.port, p.queue_id};
    out.push_back(Queue{id, queue_counters_.at(id).get()});
  }
  return out;
}

}  // namespace sluice::control
