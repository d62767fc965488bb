// Config: the whole configuration of a switch, as values. Made by config/load.hpp from YAML, checked; nothing in it
// needs to be checked again.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/error.hpp"

namespace sluice::control {

struct VlanConfig {
  enum class Mode : std::uint8_t {
    trunk,         ///< carries `trunks` (empty: all VLANs); untagged frames belong to `native`, or to VLAN 0
    access,        ///< untagged; all its frames are in VLAN `tag`
    dot1q_tunnel,  ///< whatever tags its frames have, they are in VLAN `tag`, under an 802.1ad tag
  };
  Mode mode = Mode::trunk;
  std::uint16_t tag = 0;                ///< access, dot1q_tunnel: 1 to 4094
  std::vector<std::uint16_t> trunks;    ///< trunk: sorted, 0 to 4094; empty: all
  std::optional<std::uint16_t> native;  ///< trunk: the VLAN of untagged frames, which leave untagged too

  bool operator==(const VlanConfig&) const = default;
};

struct VhostUserConfig {
  enum class Mode : std::uint8_t { server, client };
  std::string path;
  Mode mode = Mode::client;

  bool operator==(const VhostUserConfig&) const = default;
};

/// Any port that is a DPDK ethdev: a PCI device, or a virtual one with its device arguments.
struct EthdevConfig {
  std::string devargs;  ///< DPDK's own syntax, as given to rte_dev_probe: "0000:01:00.0", "net_tap0,iface=t0"
  /// `type: pcap` only: how fast its rx file is read. 0: as fast as possible, -1: as recorded; else packets a second.
  double pcap_rate = 0;
  bool pcap_loop = false;
  std::string pcap_rx;  ///< paths, empty: none
  std::string pcap_tx;
  /// The UNIX socket by which the device meets its peer; empty: it has none.
  std::string peer_path;
  bool peer_connects = false;  ///< to that socket; else it listens there

  bool operator==(const EthdevConfig&) const = default;
};

struct PortConfig {
  std::string name;  ///< 1 to 32 characters of [A-Za-z0-9_.-], no reserved word of the rule syntax
  std::string type;  ///< as in the file: "vhost-user", "pci", "pcap", ...
  std::optional<VhostUserConfig> vhost_user;  ///< exactly one of the two
  std::optional<EthdevConfig> ethdev;
  VlanConfig vlan;
  std::uint16_t mtu = 1500;         ///< bytes, 68 to 9702
  std::uint16_t queues = 1;         ///< queue pairs; vhost-user: the most that a guest may use (default 8)
  std::uint16_t queue_size = 1024;  ///< ethdev: descriptors; vhost-user: the largest ring a guest may set up (32768)
  /// What the port needs for itself alone, in words: "path /run/vm1.sock", "PCI device 0000:01:00.0". Two ports that
  /// share one of them cannot both be.
  std::vector<std::string> claims;
  std::string text;  ///< of a port that was read by itself, as `sluice port add` has it: what was read

  bool operator==(const PortConfig&) const = default;
};

/// A queue that is to be polled by one core and no other.
struct PinnedQueue {
  std::string port;
  std::uint16_t queue;
  unsigned core;
};

struct PmdConfig {
  std::vector<unsigned> cores{1};  ///< at least one, no duplicates
  std::vector<PinnedQueue> pinned;
  std::chrono::microseconds idle_sleep{0};  ///< 0: spin
};

struct MemoryConfig {
  bool hugepages = false;
  std::uint32_t megabytes = 128;
};

struct BridgeConfig {
  std::chrono::seconds mac_ageing{300};  ///< 0: never
  std::uint32_t mac_table_size = 8192;
  bool flood = true;  ///< unknown unicast; broadcast and multicast always are
};

struct FlowConfig {
  std::uint32_t limit = 1'000'000;  ///< a PMD
  std::chrono::seconds idle_timeout{10};
};

struct RecoveryConfig {
  bool standby = false;                          ///< a second worker is kept ready
  std::chrono::milliseconds hang_timeout{1000};  ///< a thread that stands still for so long is a crash; 0: never
};

struct RuleText {
  std::string text;
  std::string where;    ///< "switch.yaml:12:5"
  std::string line{};   ///< "switch.yaml:12" if the text stands there just as it is; else empty
  unsigned column = 1;  ///< in that line, of the text's first character
};

struct Config {
  MemoryConfig memory;
  PmdConfig pmd;
  std::vector<PortConfig> ports;
  std::vector<RuleText> rules;
  BridgeConfig bridge;
  FlowConfig flows;
  RecoveryConfig recovery;
  std::string control_socket = "/run/sluice/control.sock";
  std::string source;  ///< the file's path
};

}  // namespace sluice::control
