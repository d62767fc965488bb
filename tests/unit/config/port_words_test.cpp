// A port on the command line: words, or the mapping that would stand in a file.
#include "tests/unit/config/read_config.hpp"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;

std::string error(std::string_view text) {
  const auto port = parse_port(text);
  return port ? "no error" : port.error().message;
}

TEST(PortWords, words_a_mapping_and_json_are_the_same_port) {
  for (
      const char* text :
      {"name=up type=memif socket=/s id=3 mtu=9000 vlan.trunk=10,20-22 vlan.native=21",
       "  vlan.native=21   type=memif name=up mtu=9000 id=3 vlan.trunk=10,20-22 socket=/s\n",
       "{name: up, type: memif, socket: /s, id: 3, mtu: 9000, vlan: {trunk: [10, 20-22], native: 21}}",
       R"({"name": "up", "type": "memif", "socket": "/s", "id": 3, "mtu": 9000, "vlan": {"trunk": [10, "20-22"], "native": 21}})"}) {
    const auto port = parse_port(text);
    ASSERT_TRUE(port) << text << ": " << error(text);
    EXPECT_EQ(port->name, "up");
    EXPECT_EQ(port->mtu, 9000);
    EXPECT_EQ(port->ethdev->devargs, "net_memif_up,socket=/s,id=3,rsize=10,socket-abstract=no");
    EXPECT_EQ(port->vlan, (VlanConfig{VlanConfig::Mode::trunk, 0, {10, 20, 21, 22}, 21}));
    EXPECT_EQ(port->claims, std::vector<std::string>{"memif /s id 3 as client"});
  }
}

TEST(PortWords, a_unit_needs_no_space) {
  EXPECT_EQ(parse_port("name=a type=pcap rx=x speed=500pps")->ethdev->pcap_rate, 500);
}

TEST(PortWords, errors_name_the_column) {
  EXPECT_EQ(error(""), "no port given; write for example name=vm3 type=vhost-user path=/run/sluice/vm3.sock");
  EXPECT_EQ(error("name=a bogus"), "column 8: 'bogus' is not key=value, such as mtu=9000");
  EXPECT_EQ(error("name=a =x"), "column 8: '=x' is not key=value, such as mtu=9000");
  EXPECT_THAT(error("name=a type=ring mtu=5"), HasSubstr("column 22: port 'a': mtu is '5'"));
  EXPECT_THAT(error("name=a type=ring mtu=1500 mtu=1500"),
              HasSubstr("column 27: port: key 'mtu' is there twice, first at column 18"));
  EXPECT_THAT(error("name=a type=ring vlan.access=1 vlan.access=2"), HasSubstr("'access' is there twice"));
  EXPECT_THAT(error("name=a type=ring vlan.access=1 vlan=2"), HasSubstr("'vlan' is there twice"));
  EXPECT_THAT(error("name=a type=tap interface=a,b"), HasSubstr("interface is a list"));
  EXPECT_THAT(error("name=a type=tap interface="), HasSubstr("interface is empty"));
  EXPECT_THAT(error("name=a type=ring " + std::string(64 << 10, 'x')),
              HasSubstr("65553 bytes long, a port has at most 65536"));
  std::string words = "name=a type=ring";
  for (int i = 0; i < 100; ++i) words += " key" + std::to_string(i) + "=1";
  EXPECT_THAT(error(words), ::testing::EndsWith("\nand 50 more errors")) << "one line was typed: 50 are enough";
  EXPECT_THAT(error("{name: a, type: ring"), HasSubstr("not YAML"));
  EXPECT_THAT(error("{name: a, type: ring, mtu: 5, queues: 9}"), HasSubstr("\n")) << "all errors, a line each";
}

}  // namespace
}  // namespace sluice::control
