// The method table. See switch_methods.hpp.
#include "control/rpc/switch_methods.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "control/rpc/reports.hpp"

namespace sluice::control {
namespace {

constexpr std::size_t kDefaultFlows = 1'000;
constexpr std::size_t kMostFlows = 20'000;

constexpr std::uint64_t kDefaultSeconds = 30;
constexpr std::uint64_t kMostSeconds = 600;

constexpr RpcParam::Type kText = RpcParam::Type::text;
constexpr RpcParam::Type kCount = RpcParam::Type::count;

/// What a method that has nothing to tell answers.
Switch::Then<Expected<void>> done(const RpcReply& reply) {
  return [reply](const Expected<void>& outcome) {
    reply(outcome ? Expected<Json>(Json::object()) : Expected<Json>(tl::make_unexpected(outcome.error())));
  };
}

Switch::Then<Expected<std::size_t>> count(const RpcReply& reply, const char* name) {
  return [reply, name](const Expected<std::size_t>& outcome) {
    reply(outcome ? Expected<Json>(Json{{name, *outcome}}) : Expected<Json>(tl::make_unexpected(outcome.error())));
  };
}

void add_views(std::vector<RpcMethod>& table, const Operations& ops) {
  table.push_back({"status", "the switch as a whole", {}, [ops](const Json&, const RpcReply& reply) {
                     ops.status([reply](const StatusReport& report) { reply(to_json(report)); });
                   }});
  table.push_back({"ports", "every port: settings, state, counters", {}, [ops](const Json&, const RpcReply& reply) {
                     reply(to_json(ops.ports()));
                   }});
  table.push_back({"flows",
                   "flows in the PMDs' tables",
                   {{"limit", kCount, false, "how many to list (default 1000)", kMostFlows}},
                   [ops](const Json& params, const RpcReply& reply) {
                     ops.flows(params.value("limit", kDefaultFlows),
                               [reply](const std::pair<std::vector<FlowReport>, std::size_t>& flows) {
                                 reply(to_json(flows.first, flows.second));
                               });
                   }});
  table.push_back({"fdb", "learnt MAC addresses", {}, [ops](const Json&, const RpcReply& reply) {
                     ops.fdb([reply](const std::vector<FdbReport>& entries) { reply(to_json(entries)); });
                   }});
  table.push_back({"pmds", "every PMD: core, queues, cycles", {}, [ops](const Json&, const RpcReply& reply) {
                     reply(to_json(ops.pmds()));
                   }});
  table.push_back({"drops", "packets dropped, by port and reason", {}, [ops](const Json&, const RpcReply& reply) {
                     reply(to_json(ops.drops()));
                   }});
  table.push_back({"rules", "the rules, the highest priority first", {}, [ops](const Json&, const RpcReply& reply) {
                     ops.rules([reply](const std::vector<RuleReport>& rules) { reply(to_json(rules)); });
                   }});
  table.push_back(
      {"memory", "memory in use", {}, [ops](const Json&, const RpcReply& reply) { reply(to_json(ops.memory())); }});
  table.push_back(
      {"trace",
       "what would happen to a packet, step by step",
       {{"packet", kText, true, "a packet in the syntax of a rule's match"}},
       [ops](const Json& params, const RpcReply& reply) {
         ops.trace(params["packet"], [reply](const Expected<std::vector<std::string>>& steps) {
           reply(steps ? Expected<Json>(Json{{"steps", *steps}}) : Expected<Json>(tl::make_unexpected(steps.error())));
         });
       }});
}

void add_changes(std::vector<RpcMethod>& table, const Operations& ops) {
  table.push_back({"stats_clear", "counts from zero on", {}, [ops](const Json&, const RpcReply& reply) {
                     ops.clear_stats();
                     reply(Json::object());
                   }});
  table.push_back({"fdb_flush",
                   "forgets learnt MAC addresses",
                   {{"port", kText, false, "those behind this port only"}},
                   [ops](const Json& params, const RpcReply& reply) {
                     ops.flush_fdb(params.value("port", std::string()), count(reply, "flushed"));
                   }});
  table.push_back({"rule_add",
                   "adds a rule",
                   {{"rule", kText, true, "as in the configuration"}},
                   [ops](const Json& params, const RpcReply& reply) { ops.add_rule(params["rule"], done(reply)); }});
  table.push_back({"rule_del",
                   "deletes the rules of the same match and priority",
                   {{"rule", kText, true, "as in the configuration; \"all\" deletes all"}},
                   [ops](const Json& params, const RpcReply& reply) {
                     ops.delete_rules(params["rule"], count(reply, "deleted"));
                   }});
  table.push_back({"port_add",
                   "adds a port",
                   {{"port", kText, true, "a port as in the configuration, YAML or JSON"}},
                   [ops](const Json& params, const RpcReply& reply) {
                     const Expected<PortConfig> port = ops.parse_port(params["port"]);
                     if (!port) return reply(tl::make_unexpected(port.error()));
                     ops.add_port(*port, done(reply));
                   }});
  table.push_back({"port_del",
                   "takes a port away",
                   {{"name", kText, true, "the port's name"}},
                   [ops](const Json& params, const RpcReply& reply) { ops.delete_port(params["name"], done(reply)); }});
  table.push_back({"upgrade",
                   "has a new version, and the configuration read anew, take over",
                   {{"binary", kText, false, "its path (default: where the switch was first started)"},
                    {"seconds", kCount, false, "how long it may take to be ready (default 30)", kMostSeconds}},
                   [ops](const Json& params, const RpcReply& reply) {
                     ops.upgrade(params.value("binary", std::string()),
                                 std::chrono::seconds(params.value("seconds", kDefaultSeconds)), done(reply));
                   }});
  table.push_back(
      {"log",
       "how much the switch says in its log",
       {{"level", kText, true, "debug, info, warning, error or off"}},
       [ops](const Json& params, const RpcReply& reply) { done(reply)(ops.set_log_level(params["level"])); }});
}

}  // namespace

std::vector<RpcMethod> switch_methods(const Operations& operations) {
  std::vector<RpcMethod> table;
  add_views(table, operations);
  add_changes(table, operations);
  return table;
}

}  // namespace sluice::control
