// Changing a running switch. How it starts is in switch/start.cpp, what it reports in switch/reports.cpp.
#include "control/switch.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/config/load.hpp"
#include "control/config/socket_path.hpp"
#include "control/log.hpp"
#include "control/rules/format.hpp"
#include "control/rules/parse.hpp"
#include "control/switch/impl.hpp"
#include "control/switch/long_work.hpp"
#include "control/switch/make_port.hpp"

namespace sluice::control {

using flowtable::PortId;

namespace {

/// Of those, after which it is told that buffers are still missing: ten seconds.
constexpr unsigned kChecksUntilTold = 50;

}  // namespace

Switch::Impl::Impl(const Config& c, ports::EventLoop& l, KeeperLink& k, ports::Eal e, ports::MbufPool p, PmdSet s)
    : loaded(c),
      loop(l),
      link(k),
      changes(k.shared().changes),
      eal(std::move(e)),
      pool(std::move(p)),
      port_pools(s.members().size()),
      pmds(std::move(s)),
      started(std::chrono::steady_clock::now()) {
  host.loop = &loop;
  host.wait_for_pmds = [this] { pmds.wait(); };
  // Who waits for a PMD that does not get on does not stand still: the PMD does.
  pmds.when_waiting([this] { beat(); });
  host.log = port_log();
}

Switch::Impl::~Impl() {
  loop.cancel(stall_timer);
  loop.cancel(leaving_timer);
  loop.cancel(search_timer);
  *alive = false;
  pmds.end_threads();
  slow_path.reset();
  // Devices may take their time to close. Nobody who stood still has come as far as this.
  link.heartbeat().long_work.store(1, std::memory_order_relaxed);
  // Ports after the threads that use their queues.
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
  link.slots().release(id);
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

// What is changed is noted first, so that a worker that comes after has changed it too: whoever asked has not been
// answered yet.

const Baseline& Switch::Impl::base() {
  if (!baseline) baseline.emplace(loaded);
  return *baseline;
}

Expected<void> Switch::Impl::note_rule(const Rule& rule, bool deleted) {
  const std::string key = rule_key(rule, names);
  return changes.note(Change::Kind::rule, key, base().rule(key),
                      deleted ? std::nullopt : std::optional(format_rule(rule, names)));
}

Expected<void> Switch::Impl::note_all_rules_deleted() {
  std::vector<Change> deleted;
  for (const auto& [key, configured] : base().rules()) {
    deleted.push_back({Change::Kind::rule, key, configured.text, {}, false});
  }
  return changes.replace_rules(deleted);
}

Expected<void> Switch::Impl::note_port(const std::string& name, std::optional<std::string> now) {
  const auto was = base().port(name);
  // A port as it is in the configuration is no change, however it was written.
  const auto again = now ? parse_port(*now) : tl::unexpected(Error{});
  if (again && was == settings_of(*again)) now = was;
  return changes.note(Change::Kind::port, name, was, std::move(now));
}

void Switch::add_rule(const std::string& text, Then<Expected<void>> then) {
  auto rule = parse_rule(text, impl_->names);
  if (!rule) return then(tl::unexpected(rule.error()));
  if (auto noted = impl_->note_rule(*rule, false); !noted) return then(tl::unexpected(noted.error()));
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
    if (auto noted = impl_->note_all_rules_deleted(); !noted) return then(tl::unexpected(noted.error()));
    impl_->rules.clear();
    impl_->change_rules<std::size_t>([](SlowPath& slow) { return slow.delete_all_rules(); },
                                     [then = std::move(then)](std::size_t count) { then(count); });
    return;
  }
  auto rule = parse_rule_match(text, impl_->names);
  if (!rule) return then(tl::unexpected(rule.error()));
  const auto same = [&](const Rule& r) { return same_match(r, *rule); };
  if (std::ranges::none_of(impl_->rules, same)) {
    return then(tl::unexpected(Error{fmt::format(
        "there is no rule of exactly this priority ({}) and match; `sluice show rules` lists them", rule->priority)}));
  }
  if (auto noted = impl_->note_rule(*rule, true); !noted) return then(tl::unexpected(noted.error()));
  std::erase_if(impl_->rules, same);
  impl_->change_rules<std::size_t>(
      [gone = std::move(*rule)](SlowPath& slow) -> std::size_t { return slow.delete_rule(gone); },
      [then = std::move(then)](std::size_t count) { then(count); });
}

void Switch::add_port(const PortConfig& config, Then<Expected<void>> then) {
  const auto added = impl_->open_port(config);
  if (!added) return then(tl::unexpected(added.error()));
  // The slow path hears of a port before the first PMD polls it.
  impl_->ask<bool>(
      [id = *added, config](SlowPath& slow) {
        slow.set_port(id, config.name, config.vlan);
        return true;
      },
      [impl = impl_.get(), id = *added, then = std::move(then)](bool) {
        for (SwitchPort& port : impl->ports.all()) port.in_use |= port.id == id;
        impl->pmds.use(impl->ports.queues());
        then({});
      });
}

Expected<PortId> Switch::Impl::open_port(const PortConfig& port) {
  if (const auto fits = ports.check(port); !fits) return tl::unexpected(fits.error());
  if (const std::string unfit = unfit_for_memory(port, config.memory); !unfit.empty()) {
    return tl::unexpected(Error{fmt::format("port '{}': {}", port.name, unfit)});
  }
  const auto slots = link.slots().find(std::vector{identity(port)});
  if (!slots) return tl::unexpected(slots.error());
  const auto id = static_cast<PortId>(slots->front());
  const LongWork work(link.heartbeat());
  auto opened = port.vhost_user ? prepare_vhost_user(port, host, link.estate(id)) : open_ethdev(port, host, port_pools);
  if (!opened) return tl::unexpected(opened.error());
  if (auto noted = note_port(port.name, port.text); !noted) return tl::unexpected(noted.error());
  link.slots().settle(id, port.name);
  names.add(port.name, id);
  SwitchPort& added = ports.add(id, port);
  adopt(added, std::move(*opened));
  added.port->activate();
  added.port->wake_guest();
  return id;
}

void Switch::reserve_control_socket(const std::string& path) {
  impl_->ports.reserve(path_claim(path), "the control socket");
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
  if (auto noted = impl_->note_port(name, {}); !noted) return then(tl::unexpected(noted.error()));
  const PortId id = impl_->close_port(name);
  impl_->ask<bool>(
      [id](SlowPath& slow) {
        slow.remove_port(id);
        return true;
      },
      [then = std::move(then)](bool) { then({}); });
}

PortId Switch::Impl::close_port(const std::string& name) {
  const LongWork work(link.heartbeat());
  SwitchPort gone = ports.take(name);
  pmds.use(ports.queues());
  if (gone.port != nullptr) gone.port->queues_changed = nullptr;
  gone.port.reset();
  link.retire(gone.id);
  names.remove(gone.id);
  return gone.id;
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
