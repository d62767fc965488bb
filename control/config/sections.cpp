#include "control/config/sections.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/config/quantity.hpp"
#include "control/config/socket_path.hpp"
#include "control/rules/nearest.hpp"

namespace sluice::control {
namespace {

constexpr std::uint64_t kMebibyte = 1U << 20U;
constexpr std::uint64_t kLeastMebibytes = 64;
constexpr std::uint64_t kMostMebibytes = 1U << 20U;
constexpr std::uint64_t kHugepageMebibytes = 2;
constexpr std::uint64_t kMostMacs = 1U << 20U;
constexpr std::uint64_t kMostFlows = 1U << 24U;
constexpr std::uint64_t kLastCore = 1023;  // CPU_SETSIZE - 1
constexpr std::size_t kMostCores = 64;
constexpr std::chrono::seconds kLongestTime{1'000'000};
constexpr std::chrono::milliseconds kLeastPatience{100};
constexpr std::chrono::milliseconds kMostPatience{600'000};
constexpr std::chrono::microseconds kLongestSleep{1'000'000};

/// Calls `read` with the section, if it is there, and tells of what nobody read in it.
template <typename Read>
void section(Mapping& root, std::string_view name, Read read) {
  const Node* node = root.find(name);
  if (node == nullptr) return;
  Mapping keys(*node, std::string(name), root.diagnostics());
  if (node->kind != Node::Kind::mapping) return;
  read(keys);
  keys.finish();
}

void read_seconds(Mapping& keys, std::string_view key, std::chrono::seconds least, std::chrono::seconds& value) {
  const auto time = keys.duration(key, fmt::format("{} s", value.count()));
  if (!time) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*time);
  if (seconds != *time || seconds < least || seconds > kLongestTime) {
    keys.wrong(key, fmt::format("{} is {} us; right is whole seconds, from {} to {} s", key, time->count(),
                                least.count(), kLongestTime.count()));
    return;
  }
  value = seconds;
}

void read_idle(Mapping& keys, PmdConfig& pmd) {
  const auto idle = keys.text("idle");
  if (!idle || *idle == "spin") return;
  constexpr std::string_view kSleep = "sleep up to ";
  const auto time =
      idle->starts_with(kSleep) ? parse_duration(std::string_view(*idle).substr(kSleep.size())) : std::nullopt;
  if (!time || time->count() == 0 || *time > kLongestSleep) {
    keys.wrong("idle",
               fmt::format("idle is {}; right is spin, or sleep up to a time of at most 1 s, such as sleep up to 50 us",
                           in_quotes(*idle)));
    return;
  }
  pmd.idle_sleep = *time;
}

void read_cores(Mapping& keys, PmdConfig& pmd) {
  const Node* list = keys.find("cores");
  if (list == nullptr) return;
  std::vector<unsigned> cores;
  bool good = list->kind == Node::Kind::sequence;
  keys.items_of(*list, "cores", [&](const Node& node, const std::string& label) {
    const auto range = node.kind == Node::Kind::scalar && node.plain ? parse_range(node.text) : std::nullopt;
    if (!range || range->second > kLastCore) {
      keys.diagnostics().add(
          node.mark, fmt::format("{} is {}; right is a core's number from 0 to {}, or a range such as 2-5", label,
                                 described(node), kLastCore));
      good = false;
      return;
    }
    for (std::uint64_t core = range->first; core <= range->second; ++core) {
      if (std::find(cores.begin(), cores.end(), core) != cores.end()) {
        keys.diagnostics().add(node.mark,
                               fmt::format("{}: core {} is there already; a core runs one PMD", label, core));
        return;
      }
      cores.push_back(static_cast<unsigned>(core));
    }
  });
  if (good && (cores.empty() || cores.size() > kMostCores)) {
    keys.wrong("cores", fmt::format("{} cores; right is 1 to {}, such as [1]", cores.size(), kMostCores));
  }
  // Pinned queues are compared with what is there, also if some of it is wrong.
  pmd.cores = std::move(cores);
}

/// Tells if there is no such port, or if it has no such queue.
void check_pinned_queue(Mapping& keys, const std::vector<PortConfig>& ports, const std::string& name,
                        std::uint64_t queue) {
  const auto port = std::find_if(ports.begin(), ports.end(), [&](const PortConfig& p) { return p.name == name; });
  if (port == ports.end()) {
    std::vector<std::string_view> names;
    names.reserve(ports.size());
    for (const PortConfig& p : ports) names.push_back(p.name);
    keys.wrong("port", fmt::format("port {} is not one of the ports{}", in_quotes(name),
                                   did_you_mean(name, names, there_are(names))));
  } else if (!port->type.empty() && queue >= port->queues) {
    keys.wrong("queue", fmt::format("queue {} of {}, which has {}: right is 0 to {}", queue, in_quotes(name),
                                    port->queues, port->queues - 1));
  }
}

void read_pinned(const Node& node, const std::string& label, Mapping& pmd_keys, const std::vector<PortConfig>& ports,
                 PmdConfig& pmd, std::map<std::pair<std::string, std::uint16_t>, Mark>& seen) {
  Mapping keys(node, label, pmd_keys.diagnostics());
  if (node.kind != Node::Kind::mapping) return;
  const bool has_port = keys.require("port", "port: vm1") != nullptr;
  const bool has_queue = keys.require("queue", "queue: 0") != nullptr;
  const bool has_core = keys.require("core", "core: 1") != nullptr;
  keys.finish();
  if (!has_port || !has_queue || !has_core) return;
  const auto name = keys.text("port");
  const auto queue = keys.integer("queue", 0, 65535);
  const auto core = keys.integer("core", 0, kLastCore);
  if (!name || !queue || !core) return;
  check_pinned_queue(keys, ports, *name, *queue);
  if (!pmd.cores.empty() && std::find(pmd.cores.begin(), pmd.cores.end(), *core) == pmd.cores.end()) {
    keys.wrong("core", fmt::format("core {} is not in pmd.cores, which are {}", *core, fmt::join(pmd.cores, ", ")));
  }
  const auto [first, fresh] = seen.emplace(std::pair{*name, static_cast<std::uint16_t>(*queue)}, keys.mark());
  if (!fresh) {
    keys.wrong_at(keys.mark(), fmt::format("queue {} of {} is pinned already, at {}", *queue, in_quotes(*name),
                                           keys.diagnostics().where(first->second)));
    return;
  }
  pmd.pinned.push_back({*name, static_cast<std::uint16_t>(*queue), static_cast<unsigned>(*core)});
}

}  // namespace

void load_memory(Mapping& root, MemoryConfig& memory) {
  section(root, "memory", [&](Mapping& keys) {
    memory.hugepages = keys.boolean("hugepages").value_or(memory.hugepages);
    const auto amount = keys.size("amount", "256 MiB");
    if (!amount) return;
    const std::uint64_t mebibytes = *amount / kMebibyte;
    if (*amount % kMebibyte != 0 || mebibytes < kLeastMebibytes || mebibytes > kMostMebibytes) {
      keys.wrong("amount", fmt::format("amount is {} KiB; right is whole MiB, from {} MiB to 1 TiB", *amount / 1024,
                                       kLeastMebibytes));
    } else if (memory.hugepages && mebibytes % kHugepageMebibytes != 0) {
      keys.wrong("amount",
                 fmt::format("amount is {} MiB, hugepages have 2 MiB; right is {} MiB", mebibytes, mebibytes + 1));
    }
    memory.megabytes = static_cast<std::uint32_t>(mebibytes);
  });
}

void load_bridge(Mapping& root, BridgeConfig& bridge) {
  section(root, "bridge", [&](Mapping& keys) {
    read_seconds(keys, "mac_ageing", std::chrono::seconds(0), bridge.mac_ageing);
    bridge.mac_table_size =
        static_cast<std::uint32_t>(keys.integer("mac_table_size", 1, kMostMacs).value_or(bridge.mac_table_size));
    bridge.flood = keys.boolean("flood").value_or(bridge.flood);
  });
}

void load_flows(Mapping& root, FlowConfig& flows) {
  section(root, "flows", [&](Mapping& keys) {
    flows.limit = static_cast<std::uint32_t>(keys.integer("limit", 1, kMostFlows).value_or(flows.limit));
    read_seconds(keys, "idle_timeout", std::chrono::seconds(1), flows.idle_timeout);
  });
}

void load_recovery(Mapping& root, RecoveryConfig& recovery) {
  section(root, "recovery", [&](Mapping& keys) {
    recovery.standby = keys.boolean("standby").value_or(recovery.standby);
    const auto time = keys.duration("hang_timeout", "1 s");
    if (!time) return;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*time);
    if (ms != *time || (ms.count() != 0 && ms < kLeastPatience) || ms > kMostPatience) {
      keys.wrong("hang_timeout",
                 fmt::format("hang_timeout is {} us; right is whole ms from {} ms to {} s, or 0 s: never",
                             time->count(), kLeastPatience.count(), kMostPatience.count() / 1000));
      return;
    }
    recovery.hang_timeout = ms;
  });
}

void load_control(Mapping& root, std::string& socket) {
  section(root, "control", [&](Mapping& keys) { socket = read_socket_path(keys, "socket").value_or(socket); });
}

void load_pmd(Mapping& root, const std::vector<PortConfig>& ports, PmdConfig& pmd) {
  section(root, "pmd", [&](Mapping& keys) {
    read_cores(keys, pmd);
    read_idle(keys, pmd);
    std::map<std::pair<std::string, std::uint16_t>, Mark> seen;
    keys.items("pin",
               [&](const Node& node, const std::string& label) { read_pinned(node, label, keys, ports, pmd, seen); });
  });
}

}  // namespace sluice::control
