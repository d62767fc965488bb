// How a switch starts: first what can be made while another worker has the ports, then the rest at once.
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "control/log.hpp"
#include "control/rules/judge.hpp"
#include "control/switch/impl.hpp"
#include "control/switch/make_port.hpp"
#include "datapath/clock.hpp"

namespace sluice::control {

using flowtable::PortId;
using std::chrono::milliseconds;

namespace {

template <typename T>
T random_secret() {
  T secret;
  // Never short for so few bytes once the kernel's generator is up, which it is when a switch starts.
  if (::getrandom(&secret, sizeof secret, 0) != static_cast<ssize_t>(sizeof secret)) std::terminate();
  return secret;
}

/// Cores that this machine does not have, or that we may not use. It is tried, not looked up: a process that was
/// started on some cores may well run its PMDs on others.
Expected<void> check_cores(const PmdConfig& pmd) {
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof before, &before);
  for (const unsigned core : pmd.cores) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    const bool usable = core < CPU_SETSIZE && sched_setaffinity(0, sizeof one, &one) == 0;
    sched_setaffinity(0, sizeof before, &before);
    if (!usable) {
      return tl::unexpected(Error{
          fmt::format("pmd.cores: core {} cannot be used; this machine's are 0 to {}, less what a cpuset keeps back",
                      core, ::sysconf(_SC_NPROCESSORS_CONF) - 1)});
    }
  }
  return {};
}

/// Buffers of packets of guests that wait for decisions, for all PMDs. Few enough to be had in a moment, since a worker
/// that follows one that crashed has to take their memory first.
constexpr unsigned kWaitingMbufs = 4096;

/// Buffers that are no port's own. The slow path's thread and the control thread hold some too.
unsigned shared_mbufs(const PmdConfig& pmd) {
  return kWaitingMbufs + static_cast<unsigned>(pmd.cores.size() + 2) * ports::kHeldByAThread;
}

ports::EalOptions eal_options(const Config& config) {
  ports::EalOptions options;
  options.hugepages = config.memory.hugepages;
  options.megabytes = config.memory.megabytes;
  options.pci = config.memory.hugepages;  // for a NIC that is there or that `port add` brings
  options.log = [log = port_log()](unsigned level, std::string_view line) {
    const auto severity = level <= 4   ? ports::Severity::error  // RTE_LOG_ERR
                          : level == 5 ? ports::Severity::warning
                                       : ports::Severity::debug;
    log(severity, fmt::format("DPDK: {}", line));
  };
  return options;
}

/// Of the first worker, for all that follow.
flowtable::HashSecret flow_secret(SharedState& shared) {
  // relaxed: nobody else makes itself ready before the first worker works.
  if (shared.has_flow_secret.load(std::memory_order_relaxed) == 0) {
    shared.flow_secret = random_secret<flowtable::HashSecret>();
    // release: after it, as a successor of whoever is killed here sees it.
    shared.has_flow_secret.store(1, std::memory_order_release);
  }
  return shared.flow_secret;
}

datapath::PmdOptions pmd_options(const Config& config, rte_mempool* pool, const flowtable::HashSecret& secret) {
  datapath::PmdOptions options;
  options.flow_limit = Sweep::capacity_for(config.flows.limit);
  options.secret = secret;
  options.pool = pool;
  options.pending.buffers = kWaitingMbufs / static_cast<unsigned>(config.pmd.cores.size());
  return options;
}

}  // namespace

Expected<std::vector<unsigned>> Switch::Impl::find_slots() const {
  std::vector<PortIdentity> identities;
  for (const PortConfig& port : config.ports) identities.push_back(identity(port));
  return link.slots().find(identities);
}

Expected<void> Switch::Impl::prepare_slow_path() {
  std::vector<PmdLink> links;
  for (const PmdSet::Member& member : pmds.members()) links.push_back(link_to(*member.pmd));
  prepared.reset();  // before the PMDs are given the next one's masks
  for (const PmdSet::Member& member : pmds.members()) {
    if (member.pmd->table().size() != 0) member.pmd->forget_flows();  // decided by what was in force before
  }
  prepared = std::make_unique<SlowPath>(SlowPathOptions{.bridge = config.bridge,
                                                        .flows = config.flows,
                                                        .hash_secret = random_secret<std::uint64_t>(),
                                                        .fdb_memory = &link.shared().fdb,
                                                        .fdb_clock = {datapath::tsc_at, datapath::ns_at}},
                                        std::move(links));
  return set_up(*prepared);
}

/// Everything that the slow path must know before the first packet.
Expected<void> Switch::Impl::set_up(SlowPath& slow) {
  const auto slots = find_slots();
  if (!slots) return tl::unexpected(slots.error());
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const PortConfig& port = config.ports[i];
    const auto id = static_cast<PortId>((*slots)[i]);
    if (auto fits = ports.check(port); !fits) return fits;
    names.add(port.name, id);
    slow.set_port(id, port.name, port.vlan);
    ports.add(id, port, link.slots().node(id));
  }
  auto judged = judge_rules(config.rules, names);
  if (!judged) return tl::unexpected(Error{fmt::format("{}", fmt::join(judged.error(), "\n"))});
  rules = *judged;
  for (Rule& rule : *judged) slow.add_rule(std::move(rule));
  return {};
}

/// Those of vhost-user that are not yet: what of it takes time, and nothing that the worker before us would notice.
Expected<void> Switch::Impl::prepare_ports(std::vector<SwitchPort> prepared_before, bool has_time) {
  unopened.clear();
  for (SwitchPort& port : ports.all()) {
    if (!port.config.vhost_user || port.port != nullptr) continue;
    const auto same = std::ranges::find_if(prepared_before, [&](const SwitchPort& before) {
      return before.id == port.id && before.config == port.config && before.port != nullptr;
    });
    if (same != prepared_before.end()) {
      adopt(port, std::move(same->port));
      continue;
    }
    auto opened = prepare_vhost_user(port.config, host, link.estate(port.id),
                                     {.has_time = has_time, .has_to_go_on = link.has_to_go_on()});
    if (opened) {
      adopt(port, std::move(*opened));
    } else if (port.config.text.empty() && !link.has_to_go_on()) {
      return tl::unexpected(opened.error());
    } else {
      unopened[port.config.name] = opened.error().message;
    }
  }
  return {};
}

/// All that can be made beforehand, by what has been changed at run time so far.
Expected<void> Switch::Impl::prepare_all(bool has_time) {
  changes_seen.reset();
  const auto mark = changes.mark();
  changes.read();
  effective = apply_changes(loaded, changes.all());
  changes.stand_only(effective.standing);
  std::vector<SwitchPort> before = std::exchange(ports.all(), {});
  names = {};
  if (auto done = prepare_slow_path(); !done) return done;
  if (auto done = prepare_ports(std::move(before), has_time); !done) return done;
  changes_seen = mark;
  return {};
}

/// The worker before us may have changed rules and ports since we made ourselves ready.
Expected<void> Switch::Impl::prepare_again_if_changed(bool has_time) {
  const auto slots = find_slots();
  if (!slots) return tl::unexpected(slots.error());
  if (changes.mark() != changes_seen || !std::ranges::equal(*slots, ports.ids())) return prepare_all(has_time);
  // A port that was added a moment ago may have been without its socket, which is noted after it.
  if (!unopened.empty()) return prepare_ports({}, has_time);
  return {};
}

void Switch::Impl::adopt(SwitchPort& port, std::unique_ptr<ports::Port> opened) {
  port.port = std::move(opened);
  if (!port.config.vhost_user) {
    port.numa_node = port.port->numa_node();
    link.slots().note_node(port.id, port.numa_node);
  }
  port.port->queues_changed = [this] { pmds.use(ports.queues()); };
  port.port->announced = [this, id = port.id](const std::uint8_t(&bytes)[6]) {
    flowtable::MacAddress mac{};
    std::copy(std::begin(bytes), std::end(bytes), mac.bytes.begin());
    slow_path->post([mac, id](SlowPath& slow) { slow.spread(mac, id); });
  };
}

Expected<std::unique_ptr<Switch>> Switch::prepare(const Config& config, ports::EventLoop& loop, KeeperLink& link) {
  if (const auto cores = check_cores(config.pmd); !cores) {
    if (!link.has_to_go_on()) return tl::unexpected(cores.error());
    port_log()(ports::Severity::warning, cores.error().message + "; its PMD goes on wherever it may");
  }
  auto eal = ports::Eal::start(eal_options(config));
  if (!eal) return tl::unexpected(Error{eal.error()});
  auto pool = ports::make_mbuf_pool("sluice", shared_mbufs(config.pmd), -1);
  if (!pool) return tl::unexpected(Error{pool.error()});
  auto pmds = PmdSet::create(config.pmd, pmd_options(config, pool->get(), flow_secret(link.shared())),
                             &link.shared().tallies, &link.heartbeat());
  if (!pmds) return tl::unexpected(pmds.error());

  auto impl = std::make_unique<Impl>(config, loop, link, std::move(*eal), std::move(*pool), std::move(*pmds));
  link.catch_up();
  if (auto done = impl->prepare_all(link.another_works()); !done) return tl::unexpected(done.error());
  impl->pmds.make_threads();
  return std::unique_ptr<Switch>(new Switch(std::move(impl)));
}

void Switch::prepare_again() {
  for (const SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->prepare_again();
  }
}

Expected<void> Switch::take_up() {
  if (auto done = impl_->prepare_again_if_changed(false); !done) return done;
  impl_->link.take_over();
  for (const SwitchPort& port : impl_->ports.all()) impl_->link.slots().settle(port.id, port.config.name);
  impl_->prepared->correct_adopted_flows(datapath::now_ns());
  impl_->slow_path =
      std::make_unique<SlowPathThread>(std::move(impl_->prepared), datapath::now_ns, impl_->pmds.doorbell(),
                                       [](SlowPath& slow) { slow.take_up_fdb(datapath::now_ns()); });
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) {
      port.port->activate();
      port.in_use = true;
    } else if (port.config.vhost_user && impl_->link.has_to_go_on()) {
      abandon_port(impl_->link.estate(port.id));  // nobody would serve what is left of its connection
    }
  }
  impl_->pmds.use(impl_->ports.queues());
  impl_->pmds.start_threads();
  // Now, when no other guest waits for one that makes this wait.
  for (const SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->wake_guest();
  }
  return {};
}

}  // namespace sluice::control
