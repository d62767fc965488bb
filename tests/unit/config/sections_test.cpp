// Everything but ports: what is read, and what is said about what cannot be.
#include "tests/unit/config/read_config.hpp"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Sections, values_are_read) {
  const Config config = good(R"(
memory: {hugepages: true, amount: 1 GiB}
pmd: {cores: [4, 2-3], idle: sleep up to 50 us, pin: [{port: a, queue: 1, core: 3}]}
ports: [{name: a, type: vhost-user, path: /a, queues: 2}]
bridge: {mac_ageing: 5min, mac_table_size: 16, flood: false}
flows: {limit: 99, idle_timeout: 3000 ms}
recovery: {standby: true, hang_timeout: 250 ms}
control: {socket: /tmp/x.sock}
)");
  EXPECT_TRUE(config.memory.hugepages);
  EXPECT_EQ(config.memory.megabytes, 1024U);
  EXPECT_THAT(config.pmd.cores, ElementsAre(4, 2, 3));
  EXPECT_EQ(config.pmd.idle_sleep, 50us);
  ASSERT_EQ(config.pmd.pinned.size(), 1U);
  EXPECT_EQ(config.pmd.pinned[0].port, "a");
  EXPECT_EQ(config.pmd.pinned[0].queue, 1);
  EXPECT_EQ(config.pmd.pinned[0].core, 3U);
  EXPECT_EQ(config.bridge.mac_ageing, 300s);
  EXPECT_EQ(config.bridge.mac_table_size, 16U);
  EXPECT_FALSE(config.bridge.flood);
  EXPECT_EQ(config.flows.limit, 99U);
  EXPECT_EQ(config.flows.idle_timeout, 3s);
  EXPECT_TRUE(config.recovery.standby);
  EXPECT_EQ(config.recovery.hang_timeout, 250ms);
  EXPECT_EQ(config.control_socket, "/tmp/x.sock");
}

TEST(Sections, a_file_may_be_json) {
  const Config config = good(R"({"ports": [], "memory": {"amount": "1 GiB"}, "bridge": {"mac_ageing": "5 min"},
                                 "pmd": {"cores": [2, 3], "idle": "sleep up to 50 us"}, "flows": {"limit": 99}})");
  EXPECT_EQ(config.memory.megabytes, 1024U);
  EXPECT_EQ(config.bridge.mac_ageing, 300s);
  EXPECT_EQ(config.pmd.idle_sleep, 50us);
  EXPECT_EQ(config.flows.limit, 99U);
}

TEST(Sections, rules_keep_their_text_and_the_place_of_its_first_character) {
  const Config config =
      good("ports: []\nrules:\n  - tcp,actions=drop\n  - 'udp,actions=drop'\n  -   \"arp,actions=normal\"\n");
  ASSERT_EQ(config.rules.size(), 3U);
  EXPECT_EQ(config.rules[0].text, "tcp,actions=drop");
  EXPECT_EQ(config.rules[0].where, "t:3:5");
  EXPECT_EQ(config.rules[1].text, "udp,actions=drop");
  EXPECT_EQ(config.rules[1].where, "t:4:6");
  EXPECT_EQ(config.rules[2].where, "t:5:8");
}

TEST(Sections, all_errors_are_told_in_the_order_of_the_file) {
  EXPECT_THAT(
      bad("memory:\n  hugepages: yes\n  amount: 256\nports: []\nflows:\n  limit: 0\nbrigde: {}\n"),
      ElementsAre("t:2:14: memory: hugepages is 'yes'; right is true or false",
                  "t:3:11: memory: amount is '256'; right is a number with its unit (KiB, MiB, GiB or TiB), such as "
                  "256 MiB",
                  "t:6:10: flows: limit is '0'; right is a number from 1 to 16777216",
                  AllOf(HasSubstr("t:7:1: unknown key 'brigde'"), HasSubstr("did you mean bridge?"))));
}

TEST(Sections, errors_are_in_the_order_of_the_file_whatever_order_it_is_read_in) {
  EXPECT_THAT(bad("rules: 1\nbridge: 2\nports: 3\nmemory: 4\n"),
              ElementsAre(HasSubstr("t:1:8: rules"), HasSubstr("t:2:9: bridge"), HasSubstr("t:3:8: ports"),
                          HasSubstr("t:4:9: memory")));
}

struct Wrong {
  const char* section;
  const char* message;  ///< part of the one line that is to be said
};

class WrongSection : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSection, is_told_in_one_line) {
  EXPECT_THAT(bad(with_section(GetParam().section)), ElementsAre(HasSubstr(GetParam().message))) << GetParam().section;
}

INSTANTIATE_TEST_SUITE_P(
    Values, WrongSection,
    ::testing::Values(
        Wrong{"memory: {hugepages: 'true'}", "t:2:21: memory: hugepages 'true' is text, in quotes"},
        Wrong{"memory: {hugepages: True}", "right is true or false"},
        Wrong{"memory: {amount: 256 MB}", "(KiB, MiB, GiB or TiB)"}, Wrong{"memory: {amount: 1500 KiB}", "whole MiB"},
        Wrong{"memory: {amount: 63 MiB}", "from 64 MiB"}, Wrong{"memory: {amount: 2 TiB}", "to 1 TiB"},
        Wrong{"memory: {amount: 99999999999 TiB}", "right is a number with its unit"},
        Wrong{"memory: {hugepages: true, amount: 65 MiB}", "hugepages have 2 MiB; right is 66 MiB"},
        Wrong{"memory: 5", "t:2:9: memory: is '5'; right is a mapping"}, Wrong{"memory:", "memory: is empty"},
        Wrong{"memory: {amount: 64 MiB, amount: 64 MiB}",
              "t:2:26: memory: key 'amount' is there twice, first at t:2:10"},
        Wrong{"memory: {}\nmemory: {}", "t:3:1: key 'memory' is there twice, first at t:2:1"},
        Wrong{"memory: {[a]: b}", "a key is a list"}, Wrong{"pmd: {cores: []}", "0 cores; right is 1 to 64"},
        Wrong{"pmd: {cores: 1}", "cores is '1'; right is a list"},
        Wrong{"pmd: {cores: [0-64]}", "65 cores; right is 1 to 64"},
        Wrong{"pmd: {cores: [1, 0-1]}", "core 1 is there already"},
        Wrong{"pmd: {cores: [1024]}", "right is a core's number from 0 to 1023"},
        Wrong{"pmd: {cores: [3-1]}", "a range such as 2-5"}, Wrong{"pmd: {cores: [01]}", "right is a core's number"},
        Wrong{"pmd: {idle: sleep}", "right is spin, or sleep up to"},
        Wrong{"pmd: {idle: sleep up to 2 s}", "at most 1 s"}, Wrong{"pmd: {idle: sleep up to 0 us}", "right is spin"},
        Wrong{"pmd: {pin: [{port: a, queue: 0, core: 1}]}", "port 'a' is not one of the ports"},
        Wrong{"pmd: {pin: [{port: a, queue: 0}]}", "pmd: pin[0]: has no 'core'"},
        Wrong{"bridge: {mac_ageing: 300}", "(us, ms, s, min or h), such as 300 s"},
        Wrong{"bridge: {mac_ageing: 500 ms}", "right is whole seconds"},
        Wrong{"bridge: {mac_ageing: 20000 min}", "whole seconds"}, Wrong{"bridge: {mac_ageing: -1 s}", "with its unit"},
        Wrong{"bridge: {mac_table_size: 0}", "from 1 to 1048576"}, Wrong{"bridge: {mac_table_size: 1.5}", "'1.5'"},
        Wrong{"bridge: {mac_table_size: [1]}", "mac_table_size is a list"},
        Wrong{"bridge: {flood: 1}", "true or false"}, Wrong{"flows: {idle_timeout: 0 s}", "from 1 to"},
        Wrong{"flows: {limit: 16777217}", "from 1 to 16777216"}, Wrong{"flows: {limit: 0x10}", "'0x10'"},
        Wrong{"flows: {limit: 010}", "'010'"}, Wrong{"flows: {limit: 99999999999999999999}", "from 1 to"},
        Wrong{"recovery: {standby: 1}", "true or false"}, Wrong{"recovery: {hang_timeout: 99 ms}", "from 100 ms"},
        Wrong{"recovery: {hang_timeout: 601 s}", "to 600 s"}, Wrong{"recovery: {hang_timeout: 100500 us}", "whole ms"},
        Wrong{"control: {socket: ''}", "socket is empty"}, Wrong{"control: {socket: /run/}", "is a folder"},
        Wrong{"control: {socket: \"a\\nb\"}", "control character"},
        Wrong{"rules: tcp", "rules is 'tcp'; right is a list"}, Wrong{"rules: [{a: b}]", "rules[0] is a mapping"},
        Wrong{"rules: ['']", "rules[0] is empty"}));

TEST(Sections, a_queue_is_pinned_once_to_a_core_that_is_there) {
  const std::string ports = "ports: [{name: vm1, type: vhost-user, path: /a, queues: 2}]\n";
  EXPECT_THAT(bad(ports + "pmd: {cores: [2], pin: [{port: vm1, queue: 2, core: 2}]}"),
              ElementsAre(HasSubstr("queue 2 of 'vm1', which has 2: right is 0 to 1")));
  EXPECT_THAT(bad(ports + "pmd: {cores: [2,3], pin: [{port: vm1, queue: 0, core: 1}]}"),
              ElementsAre(HasSubstr("core 1 is not in pmd.cores, which are 2, 3")));
  EXPECT_THAT(bad(ports + "pmd: {pin: [{port: vm1, queue: 0, core: 1}, {port: vm1, queue: 0, core: 1}]}"),
              ElementsAre(HasSubstr("t:2:45: pmd: pin[1]: queue 0 of 'vm1' is pinned already, at t:2:13")));
  EXPECT_THAT(bad(ports + "pmd: {pin: [{port: vm11, queue: 0, core: 1}]}"),
              ElementsAre(HasSubstr("did you mean vm1?")));
}

}  // namespace
}  // namespace sluice::control
