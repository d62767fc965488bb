// Views. See views.hpp.
#include "control/cli/views.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "control/cli/quantity_text.hpp"
#include "control/cli/table.hpp"

namespace sluice::control {
namespace {

using Align = Table::Align;
using Tint = Table::Tint;

std::string number(const Json& row, const char* name) { return with_thousands(row.at(name).get<std::uint64_t>()); }
std::string text(const Json& row, const char* name) { return row.at(name).get<std::string>(); }

/// "name:  value" lines, the names in one column.
std::string fields(const std::vector<std::pair<std::string, std::string>>& rows, const Style& style) {
  std::size_t widest = 0;
  for (const auto& [name, value] : rows) widest = std::max(widest, name.size());
  std::string out;
  for (const auto& [name, value] : rows) {
    out += style.bold(name) + std::string(widest - name.size() + 2, ' ') + printable(value) + "\n";
  }
  return out;
}

std::string status_text(const Json& status, const Style& style) {
  return fields(
      {{"version",
        fmt::format("{}, {}, {}", text(status, "version"), text(status, "dpdk"), text(status, "instructions"))},
       {"pid", fmt::format("{} (keeper {})", status.at("pid").get<int>(), status.at("keeper_pid").get<int>())},
       {"up", fmt::format("{}, {} {}", duration_text(status.at("uptime_seconds").get<double>()),
                          number(status, "restarts"), status.at("restarts") == 1 ? "restart" : "restarts")},
       {"config", text(status, "config")},
       {"ports", fmt::format("{} ({} up)", number(status, "ports"), number(status, "ports_up"))},
       {"PMDs", number(status, "pmds")},
       {"flows", number(status, "flows")},
       {"FDB entries", number(status, "fdb_entries")},
       {"rules", number(status, "rules")},
       {"packets", fmt::format("{} received, {} transmitted, {} dropped", number(status, "rx_packets"),
                               number(status, "tx_packets"), number(status, "drops"))},
       {"upcalls", fmt::format("{} waiting", number(status, "upcalls_waiting"))}},
      style);
}

/// "10,20-29", as a configuration may say it.
std::string ranges(const std::vector<unsigned>& sorted) {
  std::string out;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t last = i;
    while (last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1) ++last;
    out += fmt::format("{}{}", out.empty() ? "" : ",", sorted[i]);
    if (last != i) out += fmt::format("-{}", sorted[last]);
    i = last + 1;
  }
  return out;
}

std::string vlan_text(const Json& vlan) {
  const std::string mode = text(vlan, "mode");
  if (mode != "trunk") return fmt::format("{} {}", mode, vlan.at("tag").get<unsigned>());
  const auto trunks = vlan.at("trunks").get<std::vector<unsigned>>();
  std::string out = fmt::format("trunk {}", trunks.empty() ? "all" : ranges(trunks));
  if (vlan.contains("native")) out += fmt::format(" native {}", vlan["native"].get<unsigned>());
  return out;
}

std::string ports_text(const Json& result, const Style& style) {
  Table table({{"PORT"},
               {"TYPE"},
               {"LINK"},
               {"STATE"},
               {"VLAN"},
               {"MTU", Align::right},
               {"RX PACKETS", Align::right},
               {"RX BYTES", Align::right},
               {"RX DROPS", Align::right},
               {"TX PACKETS", Align::right},
               {"TX BYTES", Align::right},
               {"TX DROPS", Align::right},
               {"DETAILS"}});
  const auto drops = [](const Json& port, const char* name) {
    return Table::Cell(number(port, name), port.at(name) == 0 ? Tint::none : Tint::bad);
  };
  for (const Json& port : result.at("ports")) {
    const bool up = port.at("link_up").get<bool>();
    std::vector<std::string> details;
    for (const auto& [name, value] : port.at("details").items()) {
      details.push_back(fmt::format("{}={}", name, value.get<std::string>()));
    }
    table.add({text(port, "name"),
               text(port, "type"),
               {up ? "up" : "down", up ? Tint::good : Tint::bad},
               text(port, "state"),
               vlan_text(port.at("vlan")),
               std::to_string(port.at("mtu").get<unsigned>()),
               number(port, "rx_packets"),
               with_unit(port.at("rx_bytes").get<std::uint64_t>()),
               drops(port, "rx_dropped"),
               number(port, "tx_packets"),
               with_unit(port.at("tx_bytes").get<std::uint64_t>()),
               drops(port, "tx_dropped"),
               {fmt::format("{}", fmt::join(details, " ")), Tint::faint}});
  }
  return table.text(style);
}

/// As ovs-dpctl dump-flows writes them; the numbers are for programs too, so without thousands.
std::string flows_text(const Json& result, const Style& style) {
  std::string out;
  for (const Json& flow : result.at("flows")) {
    const Json& used = flow.at("used_seconds");
    out += fmt::format("{}, packets:{}, bytes:{}, used:{}, actions:{}\n", printable(text(flow, "key")),
                       flow.at("packets").get<std::uint64_t>(), flow.at("bytes").get<std::uint64_t>(),
                       used.is_null() ? "never" : fmt::format("{:.3f}s", used.get<double>()),
                       style.bold(printable(text(flow, "actions"))));
  }
  const auto total = result.at("total").get<std::uint64_t>();
  const std::uint64_t shown = result.at("flows").size();
  if (shown == total)
    return out + style.dim(fmt::format("{} {}", with_thousands(total), total == 1 ? "flow" : "flows")) + "\n";
  return out +
         style.dim(fmt::format("{} of {} flows; --limit N shows more", with_thousands(shown), with_thousands(total))) +
         "\n";
}

std::string fdb_text(const Json& result, const Style& style) {
  Table table({{"VLAN", Align::right}, {"MAC"}, {"PORT"}, {"AGE", Align::right}});
  for (const Json& entry : result.at("fdb")) {
    table.add({std::to_string(entry.at("vlan").get<unsigned>()), text(entry, "mac"), text(entry, "port"),
               duration_text(entry.at("age_seconds").get<double>())});
  }
  return table.text(style);
}

std::string pmds_text(const Json& result, const Style& style) {
  std::string out;
  for (const Json& pmd : result.at("pmds")) {
    if (!out.empty()) out += "\n";
    const int node = pmd.at("numa_node").get<int>();
    out += style.bold(fmt::format("core {}", pmd.at("core").get<unsigned>()));
    out += fmt::format("{}  busy {}  packets {} ({:.1f} a batch)  {:.0f} busy cycles a packet\n",
                       node < 0 ? "" : fmt::format("  NUMA node {}", node), percent(pmd.at("busy_share").get<double>()),
                       number(pmd, "packets"), pmd.at("packets_per_batch").get<double>(),
                       pmd.at("busy_cycles_per_packet").get<double>());
    out += fmt::format("  flows {} of {}  hits {}  misses {}  queued {}  upcalls {}\n", number(pmd, "flows"),
                       number(pmd, "flow_limit"), number(pmd, "hits"), number(pmd, "misses"), number(pmd, "queued"),
                       number(pmd, "upcalls"));
    Table table({{"  PORT"},
                 {"QUEUE", Align::right},
                 {"CYCLES", Align::right},
                 {"PACKETS", Align::right},
                 {"BATCHES", Align::right},
                 {"A BATCH", Align::right}});
    for (const Json& queue : pmd.at("queues")) {
      table.add({"  " + text(queue, "port"), std::to_string(queue.at("queue").get<unsigned>()),
                 percent(queue.at("cycle_share").get<double>()), number(queue, "packets"), number(queue, "batches"),
                 fmt::format("{:.1f}", queue.at("packets_per_batch").get<double>())});
    }
    out += table.text(style);
  }
  return out;
}

std::string drops_text(const Json& result, const Style& style) {
  if (result.at("drops").empty()) return "no packet was dropped\n";
  Table table({{"PORT"}, {"REASON"}, {"PACKETS", Align::right}, {"EXPLANATION"}});
  for (const Json& drop : result.at("drops")) {
    table.add({text(drop, "port"), text(drop, "reason"), number(drop, "packets"), text(drop, "explanation")});
  }
  return table.text(style);
}

std::string rules_text(const Json& result, const Style& style) {
  if (result.at("rules").empty()) return "no rules: every packet goes the normal way\n";
  Table table({{"PACKETS", Align::right}, {"BYTES", Align::right}, {"RULE"}});
  for (const Json& rule : result.at("rules")) {
    table.add({number(rule, "packets"), with_unit(rule.at("bytes").get<std::uint64_t>()), text(rule, "rule")});
  }
  return table.text(style);
}

std::string memory_text(const Json& memory, const Style& style) {
  const auto bytes = [&](const char* name) { return with_unit(memory.at(name).get<std::uint64_t>()); };
  return fields({{"resident", bytes("resident_bytes")},
                 {"hugepages", memory.at("hugepages").get<bool>() ? "yes" : "no"},
                 {"mbufs", fmt::format("{} in {}, {} free", number(memory, "mbufs"), bytes("mbuf_bytes"),
                                       number(memory, "mbufs_free"))},
                 {"flow tables", bytes("flow_table_bytes")}},
                style);
}

}  // namespace

const std::vector<View>& views() {
  static const std::vector<View> table{
      {"status", "the switch as a whole", "", status_text},
      {"ports", "ports: settings, state, counters", "Frames and bytes are counted without FCS.", ports_text},
      {"flows", "the flows that the PMDs' tables hold",
       "A flow shows the fields that its decision depended on; packets that differ in others share it.", flows_text},
      {"fdb", "MAC addresses learnt, and behind which port", "", fdb_text},
      {"pmds", "PMDs: core, queues, cycles",
       "CYCLES is a queue's share of all the core's cycles, idle ones included. Busy cycles are those of rounds that\n"
       "moved a packet.",
       pmds_text},
      {"drops", "packets dropped, by port and reason",
       "A packet is counted once, at the port it came from; reasons that begin with tx_ at the port it was to leave "
       "through.",
       drops_text},
      {"rules", "rules, the highest priority first, and what they matched", "", rules_text},
      {"memory", "memory in use", "", memory_text}};
  return table;
}

Expected<std::string> render(const View& view, const Json& result, const Style& style) {
  try {
    return view.text(result, style);
  } catch (const Json::exception& error) {
    return tl::make_unexpected(Error{fmt::format(
        "the switch's '{}' is not what this program knows: is it of another version? ({})", view.name, error.what())});
  }
}

}  // namespace sluice::control
