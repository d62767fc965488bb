// Reports as JSON. See reports.hpp.
#include "control/rpc/reports.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace sluice::control {
namespace {

/// 0 where nothing was counted yet: JSON has no number that says "unknown", and null would need a case everywhere.
double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

Json to_json(const VlanConfig& vlan) {
  switch (vlan.mode) {
    case VlanConfig::Mode::access: return {{"mode", "access"}, {"tag", vlan.tag}};
    case VlanConfig::Mode::dot1q_tunnel: return {{"mode", "dot1q-tunnel"}, {"tag", vlan.tag}};
    case VlanConfig::Mode::trunk: break;
  }
  Json json{{"mode", "trunk"}, {"trunks", vlan.trunks}};
  if (vlan.native) json["native"] = *vlan.native;
  return json;
}

Json to_json(const PortReport& port) {
  Json details = Json::object();
  for (const auto& [name, value] : port.status.details) details[name] = value;
  return {{"id", port.id},
          {"name", port.config.name},
          {"type", port.config.type},
          {"state", port.status.state},
          {"link_up", port.status.link_up},
          {"vlan", to_json(port.config.vlan)},
          {"mtu", port.config.mtu},
          {"rx_packets", port.rx_packets},
          {"rx_bytes", port.rx_bytes},
          {"rx_dropped", port.rx_dropped},
          {"tx_packets", port.tx_packets},
          {"tx_bytes", port.tx_bytes},
          {"tx_dropped", port.tx_dropped},
          {"details", std::move(details)}};
}

Json to_json(const PmdReport& pmd) {
  Json queues = Json::array();
  for (const PmdReport::Queue& queue : pmd.queues) {
    queues.push_back({{"port", queue.port},
                      {"queue", queue.queue},
                      {"packets", queue.packets},
                      {"batches", queue.batches},
                      {"packets_per_batch", ratio(queue.packets, queue.batches)},
                      {"busy_cycles", queue.busy_cycles},
                      {"cycle_share", ratio(queue.busy_cycles, pmd.busy_cycles + pmd.idle_cycles)}});
  }
  return {{"core", pmd.core},
          {"numa_node", pmd.numa_node},
          {"busy_cycles", pmd.busy_cycles},
          {"idle_cycles", pmd.idle_cycles},
          {"busy_share", ratio(pmd.busy_cycles, pmd.busy_cycles + pmd.idle_cycles)},
          {"packets", pmd.packets},
          {"batches", pmd.batches},
          {"packets_per_batch", ratio(pmd.packets, pmd.batches)},
          {"busy_cycles_per_packet", ratio(pmd.busy_cycles, pmd.packets)},
          {"hits", pmd.hits},
          {"misses", pmd.misses},
          {"queued", pmd.queued},
          {"upcalls", pmd.upcalls},
          {"flows", pmd.flows},
          {"flow_limit", pmd.flow_limit},
          {"queues", std::move(queues)}};
}

Json to_json(const FlowReport& flow) {
  return {{"core", flow.core},
          {"key", flow.key},
          {"packets", flow.packets},
          {"bytes", flow.bytes},
          {"used_seconds", flow.used_seconds ? Json(*flow.used_seconds) : Json()},
          {"actions", flow.actions}};
}

Json to_json(const FdbReport& entry) {
  return {{"vlan", entry.vlan}, {"mac", entry.mac}, {"port", entry.port}, {"age_seconds", entry.age_seconds}};
}

Json to_json(const DropReport& drop) {
  return {{"port", drop.port},
          {"reason", ports::name(drop.reason)},
          {"packets", drop.packets},
          {"explanation", ports::explanation(drop.reason)}};
}

Json to_json(const RuleReport& rule) { return {{"rule", rule.text}, {"packets", rule.packets}, {"bytes", rule.bytes}}; }

/// Lists are named in an object, so that more can be said beside them later.
template <typename T>
Json list(const char* name, const std::vector<T>& rows) {
  Json array = Json::array();
  for (const T& row : rows) array.push_back(to_json(row));
  Json json = Json::object();
  json[name] = std::move(array);
  return json;
}

}  // namespace

Json to_json(const StatusReport& report) {
  return {{"version", report.version},
          {"pid", report.pid},
          {"keeper_pid", report.keeper_pid},
          {"restarts", report.restarts},
          {"uptime_seconds", report.uptime_seconds},
          {"config", report.config},
          {"dpdk", report.dpdk},
          {"instructions", report.instructions},
          {"ports", report.ports},
          {"ports_up", report.ports_up},
          {"pmds", report.pmds},
          {"flows", report.flows},
          {"fdb_entries", report.fdb_entries},
          {"rules", report.rules},
          {"rx_packets", report.rx_packets},
          {"tx_packets", report.tx_packets},
          {"drops", report.drops},
          {"upcalls_waiting", report.upcalls_waiting}};
}

Json to_json(const std::vector<PortReport>& ports) { return list("ports", ports); }

Json to_json(const std::vector<FlowReport>& flows, std::size_t total) {
  Json json = list("flows", flows);
  json["total"] = total;
  return json;
}

Json to_json(const std::vector<FdbReport>& entries) { return list("fdb", entries); }
Json to_json(const std::vector<PmdReport>& pmds) { return list("pmds", pmds); }
Json to_json(const std::vector<DropReport>& drops) { return list("drops", drops); }
Json to_json(const std::vector<RuleReport>& rules) { return list("rules", rules); }

Json to_json(const MemoryReport& report) {
  return {{"resident_bytes", report.resident_bytes},
          {"hugepages", report.hugepages},
          {"mbufs", report.mbufs},
          {"mbufs_free", report.mbufs_free},
          {"mbuf_bytes", report.mbuf_bytes},
          {"flow_table_bytes", report.flow_table_bytes}};
}

}  // namespace sluice::control
