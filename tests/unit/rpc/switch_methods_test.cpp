// The method table over a made-up switch: names of methods and members, which programs rely on.
#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/rpc/dispatcher.hpp"
#include "control/rpc/switch_methods.hpp"
#include "tests/unit/rpc/sample_operations.hpp"

namespace sluice::control {
namespace {

struct Asked {
  std::shared_ptr<std::vector<std::string>> asked = std::make_shared<std::vector<std::string>>();
  std::vector<RpcMethod> table = switch_methods(sample_operations(asked));
  RpcDispatcher dispatcher{table};

  Json response(const std::string& method, const Json& params = Json::object()) {
    std::string said;
    dispatcher.handle(to_line({{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}),
                      [&](std::string line) { said = std::move(line); });
    return Json::parse(said);
  }
  Json result(const std::string& method, const Json& params = Json::object()) {
    return response(method, params).at("result");
  }
  std::string refusal(const std::string& method, const Json& params) {
    return response(method, params).at("error").at("message");
  }
};

TEST(SwitchMethodsTest, pmds_tell_cycles_and_shares) {
  const Json pmd = Asked().result("pmds")["pmds"][0];
  EXPECT_EQ(pmd["busy_cycles"], 250'000);
  EXPECT_EQ(pmd["idle_cycles"], 750'000);
  EXPECT_EQ(pmd["packets"], 2'000);
  EXPECT_EQ(pmd["busy_cycles_per_packet"], 125.0);
  EXPECT_EQ(pmd["busy_share"], 0.25);
  EXPECT_EQ(pmd["queues"][0], Json::parse(R"({"port":"vm1","queue":0,"packets":1500,"batches":50,
    "packets_per_batch":30.0,"busy_cycles":200000,"cycle_share":0.2})"));
}

TEST(SwitchMethodsTest, a_pmd_that_saw_nothing_has_zeros_and_no_nan) {
  Operations ops = sample_operations(std::make_shared<std::vector<std::string>>());
  ops.pmds = [] { return std::vector<PmdReport>{PmdReport{}}; };
  for (const RpcMethod& method : switch_methods(ops)) {
    if (method.name != "pmds") continue;
    method.call(Json::object(), [](const Expected<Json>& result) {
      EXPECT_EQ((*result)["pmds"][0]["busy_cycles_per_packet"], 0.0);
      EXPECT_EQ((*result)["pmds"][0]["busy_share"], 0.0);
    });
  }
}

TEST(SwitchMethodsTest, ports_tell_settings_state_and_counters) {
  const Json ports = Asked().result("ports")["ports"];
  EXPECT_EQ(ports[0], Json::parse(R"({"id":1,"name":"vm1","type":"vhost-user","state":"connected","link_up":true,
    "vlan":{"mode":"access","tag":10},"mtu":1500,"rx_packets":1234567,"rx_bytes":98765432,"rx_dropped":3,
    "tx_packets":12,"tx_bytes":768,"tx_dropped":0,
    "details":{"path":"/run/vm1.sock","features":"mergeable \u001b[2J"}})"));
  EXPECT_EQ(ports[1]["vlan"], Json::parse(R"({"mode":"trunk","trunks":[0,10,20,21,22],"native":10})"));
}

TEST(SwitchMethodsTest, flows_are_limited_as_asked) {
  Asked a;
  const Json result = a.result("flows", {{"limit", 2}});
  EXPECT_EQ(result["total"], 3);
  EXPECT_EQ(result["flows"][0], Json::parse(R"({"core":1,"key":"in_port=vm1,tcp,tp_dst=22","packets":123,"bytes":9876,
    "used_seconds":0.5,"actions":"output:vm2"})"));
  EXPECT_TRUE(result["flows"][1]["used_seconds"].is_null());
  (void)a.result("flows");
  EXPECT_EQ(*a.asked, (std::vector<std::string>{"flows 2", "flows 1000"}));
  EXPECT_NE(a.refusal("flows", {{"limit", 20'001}}).find("0 to 20000"), std::string::npos);
}

TEST(SwitchMethodsTest, drops_fdb_rules_and_memory_have_their_members) {
  Asked a;
  EXPECT_EQ(a.result("drops"), Json::parse(R"({"drops":[{"port":"vm1","reason":"rule","packets":1003,
    "explanation":"a rule says drop"}]})"));
  EXPECT_EQ(a.result("fdb"),
            Json::parse(R"({"fdb":[{"vlan":10,"mac":"02:00:00:00:00:01","port":"vm1","age_seconds":61.0}]})"));
  EXPECT_EQ(a.result("rules"),
            Json::parse(R"({"rules":[{"rule":"priority=100,tcp,tp_dst=22,actions=drop","packets":5,"bytes":320}]})"));
  EXPECT_EQ(a.result("memory"), Json::parse(R"({"resident_bytes":536870912,"hugepages":true,"mbufs":65536,
    "mbufs_free":60000,"mbuf_bytes":167772160,"flow_table_bytes":3145728})"));
}

TEST(SwitchMethodsTest, changes_reach_the_switch_and_its_refusals_come_back) {
  Asked a;
  EXPECT_EQ(a.result("stats_clear"), Json::object());
  EXPECT_EQ(a.result("fdb_flush"), Json({{"flushed", 1}}));
  EXPECT_EQ(a.result("fdb_flush", {{"port", "vm1"}}), Json({{"flushed", 1}}));
  EXPECT_EQ(a.refusal("fdb_flush", {{"port", "vm9"}}), "port 'vm9' is not there");
  EXPECT_EQ(a.result("rule_add", {{"rule", "arp,actions=drop"}}), Json::object());
  EXPECT_EQ(a.refusal("rule_add", {{"rule", "bad"}}), "column 1: 'bad' is no field");
  EXPECT_EQ(a.result("rule_del", {{"rule", "arp"}}), Json({{"deleted", 2}}));
  EXPECT_EQ(a.result("port_add", {{"port", "name=vm3"}}), Json::object());
  EXPECT_EQ(a.refusal("port_add", {{"port", "type=tap"}}), "port: 'name' is missing");
  EXPECT_EQ(a.result("port_del", {{"name", "vm3"}}), Json::object());
  EXPECT_EQ(a.result("log", {{"level", "debug"}}), Json::object());
  EXPECT_EQ(a.refusal("log", {{"level", "loud"}}), "log level 'loud' is none");
  EXPECT_EQ(a.result("trace", {{"packet", "in_port=vm1"}})["steps"].size(), 2U);
  EXPECT_EQ(*a.asked,
            (std::vector<std::string>{"clear_stats", "flush_fdb ", "flush_fdb vm1", "flush_fdb vm9",
                                      "add_rule arp,actions=drop", "add_rule bad", "delete_rules arp", "add_port vm3",
                                      "delete_port vm3", "set_log_level debug", "set_log_level loud"}));
}

/// A line of the README that begins with "-->" is a request, the "<--" line after it its response.
TEST(SwitchMethodsTest, the_readme_shows_every_method_and_its_members) {
  Asked a;
  std::ifstream file(SLUICE_SOURCE_DIR "/control/rpc/README.md");
  ASSERT_TRUE(file);
  std::string line;
  Json request;
  std::vector<std::string> shown;
  while (std::getline(file, line)) {
    if (line.rfind("--> ", 0) == 0) request = Json::parse(line.substr(4));
    if (line.rfind("<-- ", 0) != 0) continue;
    const Json documented = Json::parse(line.substr(4));
    const std::string method = request.at("method");
    if (!documented.contains("result") || method == "help") continue;
    shown.push_back(method);
    const Json real = a.response(method, request.value("params", Json::object()));
    // Values differ, names and types do not.
    for (const auto& [name, value] : documented["result"].items()) {
      ASSERT_TRUE(real["result"].contains(name)) << method << " " << name;
      const Json& ours = real["result"][name];
      if (!value.is_array() || !ours[0].is_object()) continue;
      for (const auto& [member, ignored] : ours[0].items())
        EXPECT_TRUE(value[0].contains(member)) << method << " " << member;
      for (const auto& [member, ignored] : value[0].items())
        EXPECT_TRUE(ours[0].contains(member)) << method << " " << member;
    }
    for (const auto& [name, value] : real["result"].items()) {
      EXPECT_TRUE(documented["result"].contains(name)) << method << " " << name;
    }
  }
  for (const RpcMethod& method : a.table) {
    EXPECT_NE(std::find(shown.begin(), shown.end(), method.name), shown.end())
        << method.name << " is not in the README";
  }
}

}  // namespace
}  // namespace sluice::control
