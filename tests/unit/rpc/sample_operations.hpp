// A made-up switch: fixed reports, and a memory of what it was asked to do.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/rpc/operations.hpp"

namespace sluice::control {

inline Error refused(const std::string& why) { return Error{why}; }

inline PortReport sample_port() {
  PortReport port{};
  port.id = 1;
  port.config.name = "vm1";
  port.config.type = "vhost-user";
  port.config.vlan = {.mode = VlanConfig::Mode::access, .tag = 10, .trunks = {}, .native = {}};
  port.status = {true, "connected", {{"path", "/run/vm1.sock"}, {"features", "mergeable \033[2J"}}};
  port.rx_packets = 1'234'567;
  port.rx_bytes = 98'765'432;
  port.tx_packets = 12;
  port.tx_bytes = 768;
  port.rx_dropped = 3;
  return port;
}

inline PmdReport sample_pmd() {
  PmdReport pmd{};
  pmd.core = 1;
  pmd.numa_node = 0;
  pmd.busy_cycles = 250'000;
  pmd.idle_cycles = 750'000;
  pmd.packets = 2'000;
  pmd.batches = 100;
  pmd.hits = 1'990;
  pmd.misses = 10;
  pmd.flows = 4;
  pmd.flow_limit = 1'000'000;
  pmd.queues = {{"vm1", 0, 1'500, 50, 200'000}, {"vm2", 0, 500, 50, 50'000}};
  return pmd;
}

/// `asked` collects "method argument".
inline Operations sample_operations(std::shared_ptr<std::vector<std::string>> asked) {
  Operations ops;
  const auto note = [asked](const std::string& what) { asked->push_back(what); };
  ops.status = [](const auto& then) {
    StatusReport status{};
    status.version = "0.1.0";
    status.pid = 42;
    status.uptime_seconds = 3725.5;
    status.config = "switch.yaml";
    status.dpdk = "DPDK 22.11.11";
    status.instructions = "avx512 vaes";
    status.ports = 2;
    status.ports_up = 1;
    status.flows = 1'500;
    then(status);
  };
  ops.ports = [] {
    PortReport trunk{};
    trunk.id = 2;
    trunk.config.name = "uplink";
    trunk.config.type = "pci";
    trunk.config.vlan.trunks = {0, 10, 20, 21, 22};
    trunk.config.vlan.native = 10;
    trunk.status.state = "no link";
    return std::vector<PortReport>{sample_port(), trunk};
  };
  ops.drops = [] { return std::vector<DropReport>{{"vm1", ports::DropReason::rule, 1'003}}; };
  ops.pmds = [] { return std::vector<PmdReport>{sample_pmd()}; };
  ops.memory = [] { return MemoryReport{512 << 20, 65'536, 60'000, 160 << 20, 3 << 20, true}; };
  ops.flows = [note](std::size_t limit, const auto& then) {
    note("flows " + std::to_string(limit));
    then({{{1, "in_port=vm1,tcp,tp_dst=22", 123, 9'876, 0.5, "output:vm2"},
           {1, "in_port=vm2,arp", 0, 0, {}, "drop (rule)"}},
          3});
  };
  ops.fdb = [](const auto& then) { then({{10, "02:00:00:00:00:01", "vm1", 61.0}}); };
  ops.rules = [](const auto& then) { then({{"priority=100,tcp,tp_dst=22,actions=drop", 5, 320}}); };
  ops.clear_stats = [note] { note("clear_stats"); };
  ops.flush_fdb = [note](const std::string& port, const auto& then) {
    note("flush_fdb " + port);
    if (port == "vm9") return then(tl::make_unexpected(refused("port 'vm9' is not there")));
    then(std::size_t{1});
  };
  ops.add_rule = [note](const std::string& text, const auto& then) {
    note("add_rule " + text);
    if (text == "bad") return then(tl::make_unexpected(refused("column 1: 'bad' is no field")));
    then({});
  };
  ops.delete_rules = [note](const std::string& text, const auto& then) {
    note("delete_rules " + text);
    then(text == "arp" ? std::size_t{2} : std::size_t{0});
  };
  ops.add_port = [note](const PortConfig& port, const auto& then) {
    note("add_port " + port.name);
    then({});
  };
  ops.delete_port = [note](const std::string& name, const auto& then) {
    note("delete_port " + name);
    then({});
  };
  ops.trace = [](const std::string& packet, const auto& then) {
    then(std::vector<std::string>{"packet: " + packet, "bridge: floods VLAN 0"});
  };
  ops.set_log_level = [note](const std::string& level) {
    note("set_log_level " + level);
    return level == "loud" ? Expected<void>(tl::make_unexpected(refused("log level 'loud' is none")))
                           : Expected<void>();
  };
  ops.upgrade = [note](const std::string& binary, std::chrono::milliseconds patience, const auto& then) {
    note("upgrade " + binary + " " + std::to_string(patience.count()));
    if (binary == "/bad") return then(tl::make_unexpected(refused("'/bad' ends with exit code 1")));
    then({});
  };
  ops.parse_port = [](const std::string& text) -> Expected<PortConfig> {
    if (text.find("name=") != 0) return tl::make_unexpected(refused("port: 'name' is missing"));
    PortConfig port;
    port.name = text.substr(5);
    return port;
  };
  return ops;
}

}  // namespace sluice::control
