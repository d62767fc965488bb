// What a switch says of itself.
#include <fmt/core.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "control/rules/format.hpp"
#include "control/switch/impl.hpp"
#include "datapath/clock.hpp"
#include "flowtable/mask.hpp"

namespace sluice::control {

using ports::DropReason;

namespace {

/// Reasons from tx_ on are counted at the port a frame was to leave through.
bool at_out_port(DropReason reason) { return reason >= DropReason::tx_not_connected; }

std::string format_mac(const flowtable::MacAddress& mac) {
  const auto& b = mac.bytes;
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

std::uint64_t resident_bytes() {
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double seconds(std::uint64_t ns) { return static_cast<double>(ns) / 1e9; }

ClearedPmd counted(const datapath::PmdCounters& c) {
  return {c.busy_cycles.get(), c.idle_cycles.get(), c.packets.get(), c.batches.get(),
          c.hits.get(),        c.misses.get(),      c.queued.get(),  c.upcalls.get()};
}

ClearedQueue counted(const datapath::QueueCounters& c) {
  return {c.packets.get(), c.batches.get(), c.busy_cycles.get()};
}

}  // namespace

void Switch::status(Then<StatusReport> then) {
  struct Counts {
    std::size_t flows, fdb, rules, upcalls;
  };
  impl_->ask<Counts>(
      [](SlowPath& slow) {
        return Counts{slow.flow_count(), slow.fdb_size(), slow.rule_count(), slow.upcalls_waiting()};
      },
      [this, then = std::move(then)](const Counts& counts) {
        StatusReport report{};
        report.version = SLUICE_VERSION;
        report.pid = ::getpid();
        report.keeper_pid = impl_->link.fd() < 0 ? 0 : ::getppid();
        report.restarts = impl_->link.restarts();
        report.uptime_seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - impl_->started).count();
        report.config = impl_->config.source;
        report.dpdk = rte_version();
        report.instructions = flowtable::instruction_set();
        report.pmds = impl_->pmds.members().size();
        for (const PortReport& port : ports()) {
          ++report.ports;
          report.ports_up += port.status.link_up;
          report.rx_packets += port.rx_packets;
          report.tx_packets += port.tx_packets;
          report.drops += port.rx_dropped + port.tx_dropped;
        }
        report.flows = counts.flows;
        report.fdb_entries = counts.fdb;
        report.rules = counts.rules;
        report.upcalls_waiting = counts.upcalls;
        then(report);
      });
}

ports::PortStatus Switch::Impl::status_of(const SwitchPort& port) const {
  if (port.port != nullptr) return port.port->status();
  const auto why = unopened.find(port.config.name);
  return {.link_up = false, .state = "missing", .details = {{"why", why == unopened.end() ? "" : why->second}}};
}

std::vector<PortReport> Switch::ports() const {
  std::vector<PortReport> out;
  for (const SwitchPort& port : impl_->ports.all()) {
    const PortTotals totals = impl_->pmds.tallies().since_cleared(port.id);
    PortReport report{port.id,
                      port.config,
                      impl_->status_of(port),
                      totals.rx_packets,
                      totals.rx_bytes,
                      totals.tx_packets,
                      totals.tx_bytes,
                      0,
                      0};
    for (std::size_t r = 0; r < ports::kDropReasons; ++r) {
      (at_out_port(static_cast<DropReason>(r)) ? report.tx_dropped : report.rx_dropped) += totals.drops[r];
    }
    out.push_back(std::move(report));
  }
  return out;
}

std::vector<DropReport> Switch::drops() const {
  std::vector<DropReport> out;
  for (const SwitchPort& port : impl_->ports.all()) {
    const PortTotals totals = impl_->pmds.tallies().since_cleared(port.id);
    for (std::size_t r = 0; r < ports::kDropReasons; ++r) {
      if (totals.drops[r] != 0) out.push_back({port.config.name, static_cast<DropReason>(r), totals.drops[r]});
    }
  }
  return out;
}

std::vector<PmdReport> Switch::pmds() const {
  std::vector<PmdReport> out;
  const auto& members = impl_->pmds.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const ClearedPmd now = counted(members[i].pmd->counters());
    const ClearedPmd then = i < impl_->cleared_pmds.size() ? impl_->cleared_pmds[i] : ClearedPmd{};
    const auto& table = members[i].pmd->table();
    out.push_back(PmdReport{members[i].core,
                            members[i].numa_node,
                            now.busy_cycles - then.busy_cycles,
                            now.idle_cycles - then.idle_cycles,
                            now.packets - then.packets,
                            now.batches - then.batches,
                            now.hits - then.hits,
                            now.misses - then.misses,
                            now.queued - then.queued,
                            now.upcalls - then.upcalls,
                            table.size(),
                            impl_->config.flows.limit,
                            {}});
  }
  for (const PmdSet::Queue& queue : impl_->pmds.queues()) {
    const ClearedQueue now = counted(*queue.counters);
    const auto cleared = impl_->cleared_queues.find(queue.id);
    const ClearedQueue then = cleared == impl_->cleared_queues.end() ? ClearedQueue{} : cleared->second;
    out[queue.id.member].queues.push_back(PmdReport::Queue{impl_->names.name(queue.id.port), queue.id.queue,
                                                           now.packets - then.packets, now.batches - then.batches,
                                                           now.busy_cycles - then.busy_cycles});
  }
  return out;
}

MemoryReport Switch::memory() const {
  MemoryReport report{};
  report.resident_bytes = resident_bytes();
  const ports::PortPools::Usage of_ports = impl_->port_pools.usage();
  report.mbufs = impl_->pool->size + of_ports.mbufs;
  report.mbufs_free = rte_mempool_avail_count(impl_->pool.get()) + of_ports.free;
  report.mbuf_bytes = impl_->pool->size * std::size_t{impl_->pool->elt_size} + of_ports.bytes;
  for (const PmdSet::Member& member : impl_->pmds.members()) {
    report.flow_table_bytes += member.pmd->table().reserved_bytes();
  }
  report.hugepages = impl_->config.memory.hugepages;
  return report;
}

void Switch::flows(std::size_t limit, Then<std::pair<std::vector<FlowReport>, std::size_t>> then) {
  struct Answer {
    std::vector<FlowSnapshot> flows;
    std::size_t count;
  };
  impl_->ask<Answer>(
      [limit](SlowPath& slow) {
        return Answer{slow.flows(limit), slow.flow_count()};
      },
      [this, then = std::move(then)](const Answer& answer) {
        const std::uint64_t now = datapath::now_ns();
        std::vector<FlowReport> out;
        out.reserve(answer.flows.size());
        for (const FlowSnapshot& flow : answer.flows) {
          FlowReport report{};
          report.core = impl_->pmds.members()[flow.pmd].core;
          report.key = format_key(flow.key, flow.mask, impl_->names);
          report.packets = flow.packets;
          report.bytes = flow.bytes;
          if (flow.used_ns) report.used_seconds = now > *flow.used_ns ? seconds(now - *flow.used_ns) : 0;
          report.actions = format_actions(flow.actions, impl_->names);
          out.push_back(std::move(report));
        }
        then({std::move(out), answer.count});
      });
}

void Switch::fdb(Then<std::vector<FdbReport>> then) {
  impl_->ask<std::vector<Fdb::Entry>>(
      [](SlowPath& slow) { return slow.fdb(); },
      [this, then = std::move(then)](const std::vector<Fdb::Entry>& entries) {
        const std::uint64_t now = datapath::now_ns();
        std::vector<FdbReport> out;
        out.reserve(entries.size());
        for (const Fdb::Entry& e : entries) {
          out.push_back({vlan_of(e.key), format_mac(mac_of(e.key)), impl_->names.name(e.port),
                         now > e.seen_ns ? seconds(now - e.seen_ns) : 0});
        }
        then(std::move(out));
      });
}

void Switch::rules(Then<std::vector<RuleReport>> then) {
  impl_->ask<std::vector<RuleSnapshot>>([](SlowPath& slow) { return slow.rules(); },
                                        [then = std::move(then)](const std::vector<RuleSnapshot>& rules) {
                                          std::vector<RuleReport> out;
                                          out.reserve(rules.size());
                                          for (const RuleSnapshot& r : rules) {
                                            out.push_back({r.text, r.packets, r.bytes});
                                          }
                                          then(std::move(out));
                                        });
}

void Switch::clear_stats() {
  impl_->pmds.tallies().clear(impl_->ports.ids());
  impl_->cleared_pmds.clear();
  for (const PmdSet::Member& member : impl_->pmds.members()) {
    impl_->cleared_pmds.push_back(counted(member.pmd->counters()));
  }
  impl_->cleared_queues.clear();
  for (const PmdSet::Queue& queue : impl_->pmds.queues()) impl_->cleared_queues[queue.id] = counted(*queue.counters);
}

}  // namespace sluice::control
