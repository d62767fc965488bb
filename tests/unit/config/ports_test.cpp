// Ports: what becomes of each type's keys, and what cannot be.
#include "tests/unit/config/read_config.hpp"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Ports, a_vhost_user_port_has_a_path_and_a_mode) {
  const PortConfig client = good_port("name: vm1, type: vhost-user, path: /run/vm1.sock");
  EXPECT_EQ(client.name, "vm1");
  EXPECT_EQ(client.vhost_user->path, "/run/vm1.sock");
  EXPECT_EQ(client.vhost_user->mode, VhostUserConfig::Mode::client);
  EXPECT_FALSE(client.ethdev);
  EXPECT_EQ(client.queues, 8);
  const PortConfig server =
      good_port("name: vm1, type: vhost-user, path: x, mode: server, queues: 2, queue_size: 256, mtu: 9000");
  EXPECT_EQ(server.vhost_user->mode, VhostUserConfig::Mode::server);
  EXPECT_EQ(server.queues, 2);
  EXPECT_EQ(server.queue_size, 256);
  EXPECT_EQ(server.mtu, 9000);
}

struct Device {
  const char* keys;
  const char* devargs;
};
class DevicePort : public ::testing::TestWithParam<Device> {};

TEST_P(DevicePort, becomes_device_arguments) {
  const PortConfig port = good_port(GetParam().keys);
  ASSERT_TRUE(port.ethdev);
  EXPECT_FALSE(port.vhost_user);
  EXPECT_EQ(port.ethdev->devargs, GetParam().devargs);
}

INSTANTIATE_TEST_SUITE_P(
    Types, DevicePort,
    ::testing::Values(
        Device{"name: a, type: pci, address: '0000:3B:00.1'", "0000:3b:00.1"},
        Device{"name: a, type: pci, address: '01:00.0'", "0000:01:00.0"},
        Device{"name: a, type: pcap, rx: i.pcap, tx: o.pcap, loop: true",
               "net_pcap_a,rx_pcap=i.pcap,tx_pcap=o.pcap,infinite_rx=1"},
        Device{"name: a, type: af_packet, interface: eth0, queues: 4", "net_af_packet_a,iface=eth0,qpairs=4"},
        Device{"name: a, type: af_xdp, interface: eth0, start_queue: 2, queues: 3",
               "net_af_xdp_a,iface=eth0,start_queue=2,queue_count=3"},
        Device{"name: t-1.x, type: tap, interface: tap0", "net_tap_t-1.x,iface=tap0"},
        Device{
            "name: a, type: memif, socket: /m.sock, role: server, id: 7, buffer_size: 4096, secret: s, queue_size: 512",
            "net_memif_a,socket=/m.sock,role=server,id=7,bsize=4096,secret=s,rsize=9,socket-abstract=no"},
        Device{"name: a, type: null, size: 64, copy: true", "net_null_a,size=64,copy=1"},
        Device{"name: a, type: 'null'", "net_null_a"}, Device{"name: a, type: ring", "net_ring_a"},
        Device{"name: a, type: devargs, devargs: 'net_pcap0,iface=eth1'", "net_pcap0,iface=eth1"}));

TEST(Ports, a_capture_is_read_as_fast_as_it_is_asked_for) {
  EXPECT_EQ(good_port("name: a, type: pcap, rx: x").ethdev->pcap_rate, 0);
  EXPECT_EQ(good_port("name: a, type: pcap, rx: x, speed: max").ethdev->pcap_rate, 0);
  EXPECT_EQ(good_port("name: a, type: pcap, rx: x, speed: recorded").ethdev->pcap_rate, -1);
  const EthdevConfig ethdev = *good_port("name: a, type: pcap, rx: x, tx: y, loop: true, speed: 10000 pps").ethdev;
  EXPECT_EQ(ethdev.pcap_rate, 10000);
  EXPECT_TRUE(ethdev.pcap_loop);
  EXPECT_EQ(ethdev.pcap_rx, "x");
  EXPECT_EQ(ethdev.pcap_tx, "y");
}

TEST(Ports, a_pci_device_needs_hugepages) {
  EXPECT_THAT(bad("ports:\n  - {name: up, type: pci, address: '01:00.0'}\n"),
              ElementsAre("t:2:5: ports[0] 'up': a PCI device needs hugepages, and memory.hugepages is false; right is "
                          "true, from the switch's start"));
  EXPECT_THAT(good("ports:\n  - {name: up, type: pci, address: '01:00.0'}\nmemory: {hugepages: true}\n").ports,
              ::testing::SizeIs(1));
}

TEST(Ports, vlan_modes_are_read) {
  const auto vlan = [](const std::string& keys) { return good_port("name: a, type: ring, vlan: {" + keys + "}").vlan; };
  using Mode = VlanConfig::Mode;
  EXPECT_EQ(vlan("access: 10"), (VlanConfig{Mode::access, 10, {}, {}}));
  EXPECT_EQ(vlan("dot1q-tunnel: 4094"), (VlanConfig{Mode::dot1q_tunnel, 4094, {}, {}}));
  EXPECT_EQ(vlan("trunk: all"), VlanConfig{});
  EXPECT_EQ(vlan("trunk: all, native: 5"), (VlanConfig{Mode::trunk, 0, {}, 5}));
  EXPECT_EQ(vlan("trunk: [30, 10-12, 0]"), (VlanConfig{Mode::trunk, 0, {0, 10, 11, 12, 30}, {}}));
  EXPECT_EQ(vlan("trunk: 7"), (VlanConfig{Mode::trunk, 0, {7}, {}}));
  EXPECT_EQ(vlan("trunk: [10, 20-29], native: 25").native, 25);
}

struct WrongPort {
  const char* keys;
  const char* message;
};
class Wrong : public ::testing::TestWithParam<WrongPort> {};

TEST_P(Wrong, is_told_in_one_line) {
  EXPECT_THAT(bad_port(GetParam().keys), ElementsAre(HasSubstr(GetParam().message))) << GetParam().keys;
}

INSTANTIATE_TEST_SUITE_P(
    Common, Wrong,
    ::testing::Values(
        WrongPort{"type: ring", "t:2:5: ports[0]: has no 'name'"}, WrongPort{"name: a", "ports[0] 'a': has no 'type'"},
        WrongPort{"name: 'a b', type: ring", "letters, digits"}, WrongPort{"name: a/b, type: ring", "letters, digits"},
        WrongPort{"name: .., type: ring", "cannot name a file"},
        WrongPort{"name: tcp, type: ring", "a word of the rules' syntax"},
        WrongPort{"name: a12345678901234567890123456789012, type: tap, interface: x",
                  "33 bytes long, a port's has at most 32"},
        WrongPort{"name: a123456789, type: ring", "of type ring has at most 9"},
        WrongPort{"name: a, type: vhost_user", "did you mean vhost-user?"},
        WrongPort{"name: a, type: [x]", "type is a list"}, WrongPort{"name: a, type: ring, mtu: 67", "from 68 to 9702"},
        WrongPort{"name: a, type: ring, mtu: 9703", "from 68 to 9702"},
        WrongPort{"name: a, type: ring, queues: 2", "queues is '2'; right is a number from 1 to 1"},
        WrongPort{"name: a, type: ring, queue_size: 1000", "1000 is no power of two; 512 or 1024 would be"},
        WrongPort{"name: a, type: ring, queue_size: 32", "from 64 to 32768"},
        WrongPort{"name: a, type: ring, path: /x", "unknown key 'path'"},
        WrongPort{"name: a, type: ring, vlan: {}", "no mode; right is exactly one of access, trunk or dot1q-tunnel"},
        WrongPort{"name: a, type: ring, vlan: {access: 1, trunk: [1]}", "more than one mode"},
        WrongPort{"name: a, type: ring, vlan: {access: 0}", "access is '0'; right is a number from 1 to 4094"},
        WrongPort{"name: a, type: ring, vlan: {access: 4095}", "from 1 to 4094"},
        WrongPort{"name: a, type: ring, vlan: {dot1q-tunnel: 4095}", "from 1 to 4094"},
        WrongPort{"name: a, type: ring, vlan: {dot1q_tunnel: 5, access: 3}", "did you mean dot1q-tunnel?"},
        WrongPort{"name: a, type: ring, vlan: {access: 5, native: 5}", "native goes with trunk, not with access"},
        WrongPort{"name: a, type: ring, vlan: {trunk: [5], native: 6}", "native 6 is not in trunk; add it there"},
        WrongPort{"name: a, type: ring, vlan: {trunk: [0, 5], native: 5}", "right is one of both"},
        WrongPort{"name: a, type: ring, vlan: {trunk: []}", "empty list, which carries nothing"},
        WrongPort{"name: a, type: ring, vlan: {trunk: [4095]}", "trunk[0] is '4095'"},
        WrongPort{"name: a, type: ring, vlan: {trunk: [5-3]}", "trunk[0] is '5-3'"},
        WrongPort{"name: a, type: ring, vlan: {trunk: [3, 1-5]}", "VLAN 3 is there already"},
        WrongPort{"name: a, type: ring, vlan: 5", "vlan: is '5'; right is a mapping"}));

INSTANTIATE_TEST_SUITE_P(
    Types, Wrong,
    ::testing::Values(
        WrongPort{"name: a, type: vhost-user", "has no 'path'; write for example 'path: /run/sluice/vm1.sock'"},
        WrongPort{"name: a, type: vhost-user, path: /a, mode: host", "mode is 'host'; right is server or client"},
        WrongPort{"name: a, type: pci, address: 00:00", "is no PCI address"},
        WrongPort{"name: a, type: pci, address: '0000:01:00.8'", "is no PCI address"},
        WrongPort{"name: a, type: pci, address: '0000:01:20.0'", "is no PCI address"},
        WrongPort{"name: a, type: pcap", "has neither 'rx' nor 'tx'"},
        WrongPort{"name: a, type: pcap, rx: x, tx: x", "tx 'x' is the file that rx reads"},
        WrongPort{"name: a, type: pcap, tx: x, loop: true", "loop without 'rx'"},
        WrongPort{"name: a, type: pcap, tx: x, speed: max", "speed without 'rx'"},
        WrongPort{"name: a, type: pcap, rx: x, speed: fast", "right is max, recorded, or packets a second"},
        WrongPort{"name: a, type: pcap, rx: x, speed: 0 pps", "right is max"},
        WrongPort{"name: a, type: pcap, rx: 'x,infinite_rx=1'", "would begin another device argument"},
        WrongPort{"name: a, type: tap, interface: \"t\\n0\"", "would begin another device argument"},
        WrongPort{"name: a, type: tap, interface: t0123456789abcdef", "at most 15 characters"},
        WrongPort{"name: a, type: tap, interface: a/b", "is no interface's name"},
        WrongPort{"name: a, type: tap", "has no 'interface'"},
        WrongPort{"name: a, type: memif, socket: /x, role: master", "right is server or client"},
        WrongPort{"name: a, type: memif, socket: /x, secret: 0123456789012345678901234", "at most 23"},
        WrongPort{"name: a, type: memif, socket: '/x[1]'", "would begin another"},
        WrongPort{"name: a, type: memif, socket: /x, buffer_size: 1521", "from 1522"},
        WrongPort{"name: a, type: memif, socket: /x/", "right is the socket's own path"},
        WrongPort{"name: a, type: null, copy: 1", "true or false"},
        WrongPort{"name: a, type: null, size: 1", "from 14"},
        WrongPort{"name: a, type: devargs, devargs: 'a b'", "not DPDK's syntax"},
        WrongPort{"name: a, type: devargs, devargs: ',x'", "not DPDK's syntax"}));

TEST(Ports, a_path_that_no_socket_can_have_is_told_with_its_length) {
  const std::string path = "/" + std::string(107, 'p');
  EXPECT_THAT(bad_port("name: a, type: vhost-user, path: " + path),
              ElementsAre(HasSubstr("is 108 bytes long, a UNIX socket path holds 107")));
  EXPECT_EQ(good_port("name: a, type: vhost-user, path: " + path.substr(1)).vhost_user->path.size(), 107U);
}

class Shared : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Shared, what_two_ports_claim_is_told_with_both_places) {
  const auto [first, second] = GetParam();
  EXPECT_THAT(bad("ports:\n- {" + std::string(first) + "}\n- {" + second + "}\nmemory: {hugepages: true}\n"),
              ElementsAre(::testing::ContainsRegex(
                  "^t:3:3: ports\\[1\\] '.': .* is already that of ports\\[0\\] 'a', at t:2:3$")));
}

INSTANTIATE_TEST_SUITE_P(
    Claims, Shared,
    ::testing::Values(
        std::pair{"name: a, type: vhost-user, path: /x", "name: a, type: vhost-user, path: /y"},
        std::pair{"name: a, type: vhost-user, path: /x", "name: b, type: vhost-user, path: /z/.././x"},
        std::pair{"name: a, type: pci, address: '01:00.0'", "name: b, type: pci, address: '0000:01:00.0'"},
        std::pair{"name: a, type: tap, interface: t", "name: b, type: af_packet, interface: t"},
        std::pair{"name: a, type: pcap, tx: t", "name: b, type: pcap, tx: t"},
        std::pair{"name: a, type: af_xdp, interface: t, queues: 2",
                  "name: b, type: af_xdp, interface: t, start_queue: 1"},
        std::pair{"name: a, type: memif, socket: /s", "name: b, type: memif, socket: /s, role: client"},
        std::pair{"name: a, type: devargs, devargs: net_x0", "name: b, type: devargs, devargs: 'net_x0,a=1'"}));

TEST(Ports, what_ports_may_share_is_no_error) {
  EXPECT_EQ(good("ports: [{name: a, type: pcap, rx: t}, {name: b, type: pcap, rx: t}]").ports.size(), 2U);
  EXPECT_EQ(good("ports: [{name: a, type: memif, socket: /s}, {name: b, type: memif, socket: /s, id: 1}]").ports.size(),
            2U);
  EXPECT_EQ(
      good("ports: [{name: a, type: af_xdp, interface: t}, {name: b, type: af_xdp, interface: t, start_queue: 1}]")
          .ports.size(),
      2U);
}

TEST(Ports, a_port_cannot_have_the_control_socket) {
  EXPECT_THAT(bad("control: {socket: /c}\n" + with_port("name: a, type: vhost-user, path: /c")),
              ElementsAre(HasSubstr("path /c is already that of the control socket")));
}

TEST(Ports, as_many_as_a_switch_has_and_no_more) {
  std::string text = "ports:\n";
  for (int i = 0; i < 1024; ++i) text += "- {name: p" + std::to_string(i) + ", type: ring}\n";
  EXPECT_EQ(good(text).ports.size(), 1024U);
  EXPECT_THAT(bad(text + "- {name: q, type: ring}\n"), ElementsAre(HasSubstr("1025 ports, a switch has at most 1024")));
}

}  // namespace
}  // namespace sluice::control
