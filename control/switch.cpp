// Starting, changing and stopping a switch. What it reports is in switch/reports.cpp.
#include "control/switch.hpp"

#include <fmt/ranges.h>
#include <rte_version.h>
#include <sched.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "control/config/load.hpp"
#include "control/log.hpp"
#include "control/rules/judge.hpp"
#include "control/rules/parse.hpp"
#include "control/switch/impl.hpp"
#include "control/switch/make_port.hpp"
#include "datapath/clock.hpp"

namespace sluice::control {

using flowtable::PortId;
using std::chrono::milliseconds;

namespace {

/// How often a PMD is looked after that may be held up in a write to a guest's eventfd, and how often it is
/// seen what is left of ports that went.
constexpr milliseconds kStallCheck{20};
constexpr milliseconds kLeavingCheck{200};
/// Of those, after which it is told that buffers are still missing: ten seconds.
constexpr unsigned kChecksUntilTold = 50;

template <typename T>
T random_secret() {
  T secret;
  // Never short for so few bytes once the kernel's generator is up, which it is when a switch starts.
  if (::getrandom(&secret, sizeof secret, 0) != static_cast<ssize_t>(sizeof secret)) std::terminate();
  return secret;
}

/// A device may take its time to open or to close, on the control thread.
class LongWork {
 public:
  explicit LongWork(Heartbeat& heartbeat) : heartbeat_(heartbeat) { set(1); }
  ~LongWork() { set(0); }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

 private:
  void set(std::uint32_t on) { heartbeat_.long_work.store(on, std::memory_order_relaxed); }
  Heartbeat& heartbeat_;
};

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

/// Buffers that are no port's own: for packets of guests that wait for decisions.
constexpr unsigned kSharedMbufs = ports::kDefaultMbufs;

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

datapath::PmdOptions pmd_options(const Config& config, rte_mempool* pool) {
  datapath::PmdOptions options;
  options.flow_limit = Sweep::capacity_for(config.flows.limit);
  options.secret = random_secret<flowtable::HashSecret>();
  options.pool = pool;
  options.pending.buffers = kSharedMbufs / 2 / static_cast<unsigned>(config.pmd.cores.size());
  return options;
}

}  // namespace

Switch::Impl::Impl(const Config& c, ports::EventLoop& l, KeeperLink& k, ports::Eal e, ports::MbufPool p, PmdSet s)
    : config(c),
      loop(l),
      link(k),
      eal(std::move(e)),
      pool(std::move(p)),
      port_pools(s.members().size()),
      pmds(std::move(s)),
      ports(pmds),
      started(std::chrono::steady_clock::now()) {
  host.loop = &loop;
  host.wait_for_pmds = [this] { pmds.wait(); };
  host.log = port_log();
}

Switch::Impl::~Impl() {
  loop.cancel(stall_timer);
  loop.cancel(leaving_timer);
  *alive = false;
  pmds.end_threads();
  slow_path.reset();
  // Ports after the threads that use their queues.
}

/// Everything that the slow path must know before the first packet.
Expected<void> Switch::Impl::set_up(SlowPath& slow) {
  for (const PortConfig& port : config.ports) {
    const auto id = ports.reserve(port);
    if (!id) return tl::unexpected(id.error());
    names.add(port.name, *id);
    slow.set_port(*id, port.name, port.vlan);
    ports.add(*id, port, nullptr);
  }
  auto judged = judge_rules(config.rules, names);
  if (!judged) return tl::unexpected(Error{fmt::format("{}", fmt::join(judged.error(), "\n"))});
  rules = *judged;
  for (Rule& rule : *judged) slow.add_rule(std::move(rule));
  return {};
}

/// The one of vhost-user: what of it takes time, and nothing that the worker before us would notice.
Expected<void> Switch::Impl::prepare_ports() {
  link.catch_up();
  for (SwitchPort& port : ports.all()) {
    const unsigned slot = link.slot(port.config.name);
    if (!port.config.vhost_user) continue;
    auto prepared = prepare_vhost_user(port.config, host, link.estate(slot));
    if (!prepared) return tl::unexpected(prepared.error());
    adopt(port, std::move(*prepared));
  }
  return {};
}

/// Of those there are none that could be shared with another worker: they are opened when that has let go of them.
Expected<void> Switch::Impl::open_ethdevs() {
  for (SwitchPort& port : ports.all()) {
    if (port.config.vhost_user) continue;
    auto opened = open_ethdev(port.config, host, port_pools);
    if (!opened) return tl::unexpected(opened.error());
    adopt(port, std::move(*opened));
    port.in_use = true;
  }
  pmds.use(ports.queues());
  return {};
}

void Switch::Impl::adopt(SwitchPort& port, std::unique_ptr<ports::Port> opened) {
  port.port = std::move(opened);
  port.port->queues_changed = [this] { pmds.use(ports.queues()); };
  port.port->announced = [this, id = port.id](const std::uint8_t(&bytes)[6]) {
    flowtable::MacAddress mac{};
    std::copy(std::begin(bytes), std::end(bytes), mac.bytes.begin());
    slow_path->post([mac, id](SlowPath& slow) { slow.spread(mac, id); });
  };
}

Expected<std::unique_ptr<Switch>> Switch::prepare(const Config& config, ports::EventLoop& loop, KeeperLink& link) {
  if (auto cores = check_cores(config.pmd); !cores) return tl::unexpected(cores.error());
  auto eal = ports::Eal::start(eal_options(config));
  if (!eal) return tl::unexpected(Error{eal.error()});
  auto pool = ports::make_mbuf_pool("sluice", kSharedMbufs, -1);
  if (!pool) return tl::unexpected(Error{pool.error()});
  auto pmds = PmdSet::create(config.pmd, pmd_options(config, pool->get()));
  if (!pmds) return tl::unexpected(pmds.error());

  auto impl = std::make_unique<Impl>(config, loop, link, std::move(*eal), std::move(*pool), std::move(*pmds));
  std::vector<PmdLink> links;
  for (const PmdSet::Member& member : impl->pmds.members()) links.push_back(link_to(*member.pmd));
  impl->prepared = std::make_unique<SlowPath>(
      SlowPathOptions{config.bridge, config.flows, random_secret<std::uint64_t>()}, std::move(links));
  if (auto done = impl->set_up(*impl->prepared); !done) return tl::unexpected(done.error());
  if (auto done = impl->prepare_ports(); !done) return tl::unexpected(done.error());
  impl->pmds.make_threads();
  return std::unique_ptr<Switch>(new Switch(std::move(impl)));
}

void Switch::take_up() {
  impl_->slow_path = std::make_unique<SlowPathThread>(std::move(impl_->prepared), [] { return datapath::now_ns(); });
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port == nullptr) continue;
    port.port->activate();
    port.in_use = true;
  }
  impl_->pmds.use(impl_->ports.queues());
  impl_->pmds.start_threads();
}

Expected<void> Switch::open_devices() {
  if (auto opened = impl_->open_ethdevs(); !opened) return opened;
  impl_->stall_timer = impl_->loop.every(kStallCheck, [i = impl_.get()] { i->pmds.interrupt_stalled(); });
  impl_->leaving_timer = impl_->loop.every(kLeavingCheck, [i = impl_.get()] {
    i->ask_for_forgotten_ids();
    i->collect_pools();
  });
  return {};
}

Switch::Switch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Switch::~Switch() = default;

/// Ids of ports that went, once no flow can name them any more.
void Switch::Impl::ask_for_forgotten_ids() {
  for (const PortId id : ports.leaving()) {
    ask<bool>([id](SlowPath& slow) { return slow.forgotten(id); },
              [this, id](bool forgotten) {
                if (forgotten) release_id(id);
              });
  }
}

/// The next port of this id begins with nothing counted.
void Switch::Impl::release_id(PortId id) {
  pmds.forget(id);
  std::erase_if(cleared_queues, [id](const auto& entry) { return entry.first.port == id; });
  ports.release_id(id);
}

void Switch::Impl::collect_pools() {
  port_pools.collect(host.wait_for_pmds);
  for (const auto& pool : port_pools.retired()) {
    if (pool.looks != kChecksUntilTold) continue;
    host.log(ports::Severity::warning,
             fmt::format("port '{}', which is gone: {} of its buffers are still in other ports' Tx rings; their memory "
                         "is kept until these ports have sent more",
                         pool.port, pool.missing));
  }
}

void Switch::add_rule(const std::string& text, Then<Expected<void>> then) {
  auto rule = parse_rule(text, impl_->names);
  if (!rule) return then(tl::unexpected(rule.error()));
  std::erase_if(impl_->rules, [&](const Rule& r) { return same_match(r, *rule); });
  impl_->rules.push_back(*rule);
  impl_->change_rules<bool>(
      [added = std::move(*rule)](SlowPath& slow) {
        slow.add_rule(added);
        return true;
      },
      [then = std::move(then)](bool) { then({}); });
}

void Switch::delete_rules(const std::string& text, Then<Expected<std::size_t>> then) {
  if (text == "all") {
    impl_->rules.clear();
    impl_->change_rules<std::size_t>([](SlowPath& slow) { return slow.delete_all_rules(); },
                                     [then = std::move(then)](std::size_t count) { then(count); });
    return;
  }
  auto rule = parse_rule_match(text, impl_->names);
  if (!rule) return then(tl::unexpected(rule.error()));
  if (std::erase_if(impl_->rules, [&](const Rule& r) { return same_match(r, *rule); }) == 0) {
    return then(tl::unexpected(Error{fmt::format(
        "there is no rule of exactly this priority ({}) and match; `sluice show rules` lists them", rule->priority)}));
  }
  impl_->change_rules<std::size_t>(
      [gone = std::move(*rule)](SlowPath& slow) -> std::size_t { return slow.delete_rule(gone); },
      [then = std::move(then)](std::size_t count) { then(count); });
}

void Switch::add_port(const PortConfig& config, Then<Expected<void>> then) {
  const auto id = impl_->ports.reserve(config);
  if (!id) return then(tl::unexpected(id.error()));
  if (const std::string unfit = unfit_for_memory(config, impl_->config.memory); !unfit.empty()) {
    return then(tl::unexpected(Error{fmt::format("port '{}': {}", config.name, unfit)}));
  }
  const LongWork work(impl_->link.heartbeat());
  const unsigned slot = impl_->link.slot(config.name);
  auto opened = config.vhost_user ? prepare_vhost_user(config, impl_->host, impl_->link.estate(slot))
                                  : open_ethdev(config, impl_->host, impl_->port_pools);
  if (!opened) {
    impl_->link.give_up(slot);
    return then(tl::unexpected(opened.error()));
  }
  impl_->names.add(config.name, *id);
  SwitchPort& added = impl_->ports.add(*id, config, nullptr);
  impl_->adopt(added, std::move(*opened));
  added.port->activate();
  // The slow path hears of a port before the first PMD polls it.
  impl_->ask<bool>(
      [id = *id, config](SlowPath& slow) {
        slow.set_port(id, config.name, config.vlan);
        return true;
      },
      [impl = impl_.get(), id = *id, then = std::move(then)](bool) {
        for (SwitchPort& port : impl->ports.all()) port.in_use |= port.id == id;
        impl->pmds.use(impl->ports.queues());
        then({});
      });
}

void Switch::delete_port(const std::string& name, Then<Expected<void>> then) {
  const SwitchPort* port = impl_->ports.find(name);
  if (port == nullptr) {
    return then(tl::unexpected(Error{fmt::format("there is no port '{}'; `sluice show ports` lists them", name)}));
  }
  for (const Rule& rule : impl_->rules) {
    if (!names_port(rule, port->id)) continue;
    return then(
        tl::unexpected(Error{fmt::format("port '{}': a rule names it: delete the rule first: {}", name, rule.text)}));
  }
  const LongWork work(impl_->link.heartbeat());
  SwitchPort gone = impl_->ports.take(name);
  impl_->pmds.use(impl_->ports.queues());
  gone.port->queues_changed = nullptr;
  gone.port.reset();
  impl_->link.give_up(impl_->link.slot(name));
  impl_->names.remove(gone.id);
  impl_->ask<bool>(
      [id = gone.id](SlowPath& slow) {
        slow.remove_port(id);
        return true;
      },
      [then = std::move(then)](bool) { then({}); });
}

void Switch::flush_fdb(const std::string& port, Then<Expected<std::size_t>> then) {
  std::optional<PortId> id;
  if (!port.empty()) {
    id = impl_->names.id(port);
    if (!id) {
      return then(tl::unexpected(Error{fmt::format("there is no port '{}'; `sluice show ports` lists them", port)}));
    }
  }
  impl_->ask<std::size_t>([id](SlowPath& slow) { return id ? slow.flush_fdb(*id) : slow.flush_fdb(); },
                          [then = std::move(then)](std::size_t count) { then(count); });
}

void Switch::trace(const std::string& packet, Then<Expected<std::vector<std::string>>> then) {
  auto key = parse_packet(packet, impl_->names);
  if (!key) return then(tl::unexpected(key.error()));
  impl_->ask<std::vector<std::string>>([key = *key](SlowPath& slow) { return slow.trace(key); },
                                       [then = std::move(then)](std::vector<std::string> lines) { then(lines); });
}

Expected<void> Switch::set_log_level(const std::string& level) { return control::set_log_level(level); }

}  // namespace sluice::control
