#include "control/config/port_types.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "control/config/quantity.hpp"
#include "control/config/socket_path.hpp"

namespace sluice::control {
namespace {

using Kind = DeviceArgument::Kind;

/// DPDK's device arguments are "name,key=value,...": a value must not be able to become a further argument.
constexpr std::string_view kDeviceSyntax = ",[]\"'";

void read_vhost_user(Mapping& keys, PortConfig& port) {
  VhostUserConfig vhost_user;
  if (keys.require("path", "path: /run/sluice/vm1.sock") != nullptr) {
    if (auto path = read_socket_path(keys, "path")) {
      port.claims.push_back(path_claim(*path));
      vhost_user.path = std::move(*path);
    }
  }
  static constexpr std::string_view kModes[] = {"server", "client"};
  if (const auto mode = keys.choice("mode", kModes)) {
    vhost_user.mode = *mode == 0 ? VhostUserConfig::Mode::server : VhostUserConfig::Mode::client;
  }
  port.vhost_user = std::move(vhost_user);
}

/// "01:00.0" or "0000:01:00.0", digits in either case, as DPDK writes it. Empty if it is no PCI address.
std::string canonical_pci(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? char(c - 'A' + 'a') : c; });
  if (text.size() == 7) text.insert(0, "0000:");
  constexpr std::string_view kShape = "hhhh:hh:hh.f";
  if (text.size() != kShape.size()) return {};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (kShape[i] == 'h' ? !hex : kShape[i] == 'f' ? c < '0' || c > '7' : c != kShape[i]) return {};
  }
  return text.substr(5, 2) <= "ff" && text.substr(8, 2) <= "1f" ? text : "";
}

void read_pci(Mapping& keys, PortConfig& port) {
  port.ethdev.emplace();
  if (keys.require("address", "address: 0000:01:00.0") == nullptr) return;
  const auto address = keys.text("address");
  if (!address) return;
  port.ethdev->devargs = canonical_pci(*address);
  if (port.ethdev->devargs.empty()) {
    keys.wrong("address",
               fmt::format("address {} is no PCI address; right is domain:bus:device.function as lspci -D shows "
                           "it, such as 0000:01:00.0",
                           in_quotes(*address)));
    return;
  }
  port.claims.push_back("PCI device " + port.ethdev->devargs);
}

void read_devargs(Mapping& keys, PortConfig& port) {
  port.ethdev.emplace();
  if (keys.require("devargs", "devargs: net_pcap0,iface=eth1") == nullptr) return;
  const auto devargs = keys.text("devargs");
  if (!devargs) return;
  const bool plain = std::all_of(devargs->begin(), devargs->end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!plain || devargs->starts_with(',')) {
    keys.wrong("devargs",
               fmt::format("devargs {} is not DPDK's syntax; right is a device and its arguments without spaces, "
                           "such as net_pcap0,iface=eth1",
                           in_quotes(*devargs)));
    return;
  }
  port.ethdev->devargs = *devargs;
  port.claims.push_back("device " + devargs->substr(0, devargs->find(',')));
}

/// The files are rows of the table; what is left is how fast they are read.
void read_pcap(Mapping& keys, PortConfig& port) {
  EthdevConfig& ethdev = *port.ethdev;
  const Node* rx = keys.find("rx");
  const Node* tx = keys.find("tx");
  if (rx == nullptr && tx == nullptr) {
    keys.wrong_at(keys.mark(), "has neither 'rx' nor 'tx'; write for example 'rx: in.pcap', 'tx: out.pcap', or both");
  }
  if (rx != nullptr && rx->kind == Node::Kind::scalar) ethdev.pcap_rx = rx->text;
  if (tx != nullptr && tx->kind == Node::Kind::scalar) ethdev.pcap_tx = tx->text;
  if (!ethdev.pcap_rx.empty() && ethdev.pcap_rx == ethdev.pcap_tx) {
    keys.wrong("tx", fmt::format("tx {} is the file that rx reads; what leaves needs a file of its own",
                                 in_quotes(ethdev.pcap_tx)));
  }
  const Node* loop = keys.find("loop");
  ethdev.pcap_loop = loop != nullptr && loop->kind == Node::Kind::scalar && loop->text == "true";
  if (loop != nullptr && rx == nullptr && tx != nullptr)
    keys.wrong("loop", "loop without 'rx'; there is nothing to repeat");
  const Node* speed = keys.find("speed");
  if (speed == nullptr) return;
  if (rx == nullptr && tx != nullptr) keys.wrong("speed", "speed without 'rx'; there is nothing to be read");
  const std::uint64_t rate = parse_packet_rate(speed->text).value_or(0);
  if (speed->text == "recorded") {
    ethdev.pcap_rate = -1;
  } else if (rate > 0 && rate <= 1'000'000'000) {
    ethdev.pcap_rate = static_cast<double>(rate);
  } else if (speed->text != "max") {
    keys.wrong("speed", fmt::format("speed is {}; right is max, recorded, or packets a second such as 10000 pps",
                                    described(*speed)));
  }
}

/// Only one queue can be at each (socket, id, role).
void read_memif(Mapping& keys, PortConfig& port) {
  const Node* socket = keys.find("socket");
  const Node* id = keys.find("id");
  const Node* role = keys.find("role");
  port.claims.push_back(fmt::format("memif {} id {} as {}", socket != nullptr ? socket->text : "",
                                    id != nullptr ? id->text : "0", role != nullptr ? role->text : "client"));
  if (socket == nullptr || socket->kind != Node::Kind::scalar) return;
  port.ethdev->peer_path = read_socket_path(keys, "socket").value_or("");
  port.ethdev->peer_connects = role == nullptr || role->text != "server";
}

/// Two ports may share an interface if they do not share its queues.
void read_af_xdp(Mapping& keys, PortConfig& port) {
  const Node* interface = keys.find("interface");
  const Node* start = keys.find("start_queue");
  const std::uint64_t first = start != nullptr ? parse_integer(start->text).value_or(0) : 0;
  for (std::uint64_t queue = first; interface != nullptr && queue < first + port.queues; ++queue) {
    port.claims.push_back(fmt::format("interface {} queue {}", interface->text, queue));
  }
}

constexpr std::string_view kMemifRoles[] = {"server", "client"};

constexpr DeviceArgument kPcap[] = {
    {.key = "rx", .argument = "rx_pcap", .kind = Kind::path},
    {.key = "tx", .argument = "tx_pcap", .kind = Kind::path, .claim = "file"},
    {.key = "loop", .argument = "infinite_rx", .kind = Kind::flag},
};
constexpr DeviceArgument kAfPacket[] = {
    {.key = "interface", .argument = "iface", .kind = Kind::interface, .required = true, .claim = "interface"},
    {.key = "qdisc_bypass", .argument = "qdisc_bypass", .kind = Kind::flag},
};
constexpr DeviceArgument kAfXdp[] = {
    {.key = "interface", .argument = "iface", .kind = Kind::interface, .required = true},
    {.key = "start_queue", .argument = "start_queue", .kind = Kind::number, .most = 1023},
    {.key = "force_copy", .argument = "force_copy", .kind = Kind::flag},
};
constexpr DeviceArgument kTap[] = {
    {.key = "interface", .argument = "iface", .kind = Kind::interface, .required = true, .claim = "interface"},
};
// A buffer of memif holds a whole frame, of 1500 bytes behind two tags: net_memif spreads longer ones over several and
// later takes the frames that follow in these for their continuation.
constexpr DeviceArgument kMemif[] = {
    {.key = "socket", .argument = "socket", .kind = Kind::path, .required = true},
    {.key = "role", .argument = "role", .kind = Kind::choice, .choices = kMemifRoles},
    {.key = "id", .argument = "id", .kind = Kind::number, .most = 0xffff'ffff},
    {.key = "buffer_size", .argument = "bsize", .kind = Kind::number, .least = 1522, .most = 65535},
    {.key = "secret", .argument = "secret", .kind = Kind::word, .most = 23},
};
constexpr DeviceArgument kNull[] = {
    {.key = "size", .argument = "size", .kind = Kind::number, .least = 14, .most = 9724},
    {.key = "copy", .argument = "copy", .kind = Kind::flag},
    {.key = "no_rx", .argument = "no-rx", .kind = Kind::flag},
};

// A port's name becomes part of its device's. A ring's name is at most 28 bytes, "ETH_RXTX0_net_ring_" of them its own.
constexpr PortType kPortTypes[] = {
    {.name = "vhost-user",
     .default_queues = 8,
     .most_queues = 128,
     .default_queue_size = 32768,
     .most_queue_size = 32768,
     .read = read_vhost_user},
    {.name = "pci",
     .default_queues = 1,
     .most_queues = 64,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .read = read_pci},
    {.name = "pcap",
     .default_queues = 1,
     .most_queues = 1,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .driver = "net_pcap",
     .arguments = kPcap,
     .read = read_pcap},
    {.name = "af_packet",
     .default_queues = 1,
     .most_queues = 16,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .driver = "net_af_packet",
     .arguments = kAfPacket,
     .queues_argument = "qpairs"},
    {.name = "af_xdp",
     .default_queues = 1,
     .most_queues = 64,
     .default_queue_size = 1024,
     .most_queue_size = 2048,
     .driver = "net_af_xdp",
     .arguments = kAfXdp,
     .queues_argument = "queue_count",
     .read = read_af_xdp},
    {.name = "tap",
     .default_queues = 1,
     .most_queues = 16,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .driver = "net_tap",
     .arguments = kTap},
    {.name = "memif",
     .default_queues = 1,
     .most_queues = 64,
     .default_queue_size = 1024,
     .most_queue_size = 16384,
     .driver = "net_memif",
     .arguments = kMemif,
     .log2_queue_size_argument = "rsize",
     .constant_arguments = "socket-abstract=no",
     .read = read_memif},
    {.name = "null",
     .default_queues = 1,
     .most_queues = 64,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .driver = "net_null",
     .arguments = kNull},
    {.name = "ring",
     .default_queues = 1,
     .most_queues = 1,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .driver = "net_ring",
     .longest_name = 9},
    {.name = "devargs",
     .default_queues = 1,
     .most_queues = 64,
     .default_queue_size = 1024,
     .most_queue_size = 32768,
     .read = read_devargs},
};

/// Characters that would end the value and begin another argument.
bool fits_device_syntax(Mapping& keys, std::string_view key, const std::string& value) {
  const auto bad = std::find_if(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || kDeviceSyntax.find(c) != std::string_view::npos;
  });
  if (bad == value.end()) return true;
  keys.wrong(key,
             fmt::format("{} {} has a {} in it, which would begin another device argument; right is a value without {} "
                         "and control characters",
                         key, in_quotes(value), in_quotes({&*bad, 1}), kDeviceSyntax));
  return false;
}

std::optional<std::string> read_argument(const DeviceArgument& row, Mapping& keys) {
  switch (row.kind) {
    case Kind::number: {
      const auto number = keys.integer(row.key, row.least, row.most);
      return number ? std::optional(fmt::format("{}", *number)) : std::nullopt;
    }
    case Kind::flag: {
      const auto flag = keys.boolean(row.key);
      return flag ? std::optional<std::string>(*flag ? "1" : "0") : std::nullopt;
    }
    case Kind::choice: {
      const auto index = keys.choice(row.key, row.choices);
      return index ? std::optional<std::string>(row.choices[*index]) : std::nullopt;
    }
    case Kind::interface:
    case Kind::path:
    case Kind::word: break;
  }
  auto text = keys.text(row.key);
  if (!text || !fits_device_syntax(keys, row.key, *text)) return std::nullopt;
  if (row.kind == Kind::word && text->size() > row.most) {
    keys.wrong(row.key, fmt::format("{} is {} bytes long, at most {} are right", row.key, text->size(), row.most));
    return std::nullopt;
  }
  // IFNAMSIZ holds 15 characters and a zero; the kernel takes no '/', ':' and blanks in a name.
  if (row.kind == Kind::interface && (text->size() > 15 || text->find_first_of("/: ") != std::string::npos)) {
    keys.wrong(row.key,
               fmt::format("{} {} is no interface's name; right is at most 15 characters without / : and blanks, such "
                           "as eth0",
                           row.key, in_quotes(*text)));
    return std::nullopt;
  }
  return text;
}

}  // namespace

std::span<const PortType> port_types() { return kPortTypes; }

void read_type_keys(const PortType& type, Mapping& keys, PortConfig& port) {
  if (!type.driver.empty()) {
    EthdevConfig ethdev;
    ethdev.devargs = fmt::format("{}_{}", type.driver, port.name);
    if (type.longest_name != 0 && port.name.size() > type.longest_name) {
      keys.wrong("name", fmt::format("name {} is {} bytes long, that of a port of type {} has at most {}",
                                     in_quotes(port.name), port.name.size(), type.name, type.longest_name));
    }
    for (const DeviceArgument& row : type.arguments) {
      if (row.required && keys.require(row.key, fmt::format("{}: …", row.key)) == nullptr) continue;
      const auto value = read_argument(row, keys);
      if (!value) continue;
      ethdev.devargs += fmt::format(",{}={}", row.argument, *value);
      if (!row.claim.empty()) port.claims.push_back(fmt::format("{} {}", row.claim, *value));
    }
    if (!type.queues_argument.empty()) ethdev.devargs += fmt::format(",{}={}", type.queues_argument, port.queues);
    if (!type.log2_queue_size_argument.empty()) {
      ethdev.devargs += fmt::format(",{}={}", type.log2_queue_size_argument, std::countr_zero(port.queue_size));
    }
    if (!type.constant_arguments.empty()) ethdev.devargs += fmt::format(",{}", type.constant_arguments);
    port.ethdev = std::move(ethdev);
  }
  if (type.read != nullptr) type.read(keys, port);
}

}  // namespace sluice::control
