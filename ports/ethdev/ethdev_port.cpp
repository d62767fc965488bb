#include "ports/ethdev/ethdev_port.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <utility>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include "ports/eal.hpp"
#include "ports/ethdev/pci_obstacle.hpp"
#include "ports/tsc.hpp"

namespace sluice::ports::ethdev {

namespace {

/// What fits into one mbuf, behind the headroom.
constexpr std::uint32_t kOneMbuf = RTE_MBUF_DEFAULT_BUF_SIZE - RTE_PKTMBUF_HEADROOM;
constexpr std::uint64_t kRxChecksums = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
constexpr std::uint64_t kTxChecksums =
    RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
constexpr std::uint64_t kRss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

tl::unexpected<std::string> failed(const EthdevOptions& options, const std::string& what, int error) {
  return tl::unexpected("port '" + options.name + "': device '" + options.devargs + "': " + what +
                        (error == 0 ? "" : std::string(": ") + rte_strerror(error < 0 ? -error : error)));
}

/// "net_tap0,iface=x": the name in front of the arguments.
std::string device_name(const std::string& devargs) { return devargs.substr(0, devargs.find(',')); }

rte_eth_dev_info info_of(std::uint16_t device) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(device, &info);
  return info;
}

/// Memory on the device's own node if there are hugepages left, else on any: slower, but there.
template <typename SetUp>
int near_or_anywhere(int node, SetUp set_up) {
  const int error = set_up(static_cast<unsigned>(node));
  return error == -ENOMEM && node >= 0 ? set_up(static_cast<unsigned>(SOCKET_ID_ANY)) : error;
}

/// Undoes a probe that brought no Ethernet device.
void remove_probed(const std::string& text) {
  rte_devargs devargs{};
  if (rte_devargs_parse(&devargs, text.c_str()) != 0) return;
  static_cast<void>(rte_eal_hotplug_remove(rte_bus_name(devargs.bus), devargs.name));
  std::free(devargs.data);  // what rte_devargs_parse() allocated
}

/// Worth asking for where hardware does it. Drivers of virtual devices would do it in software, for every frame, and
/// virtio's then gives frames whose checksum is still open.
bool checks_in_hardware(const rte_eth_dev_info& info) {
  const std::string bus = rte_bus_name(rte_dev_bus(info.device));
  const std::string driver = info.driver_name;
  return bus != "vdev" && driver != "net_virtio" && (info.rx_offload_capa & kRxChecksums) == kRxChecksums;
}

}  // namespace

tl::expected<std::unique_ptr<EthdevPort>, std::string> EthdevPort::create(const EthdevOptions& options) {
  std::unique_ptr<EthdevPort> port(new EthdevPort(options));
  return port->attach()
      .and_then([&] { return port->configure(); })
      .and_then([&] { return port->set_up_queues(); })
      .and_then([&] { return options.peer.connects ? port->keep_connected() : port->start(); })
      .map([&] { return std::move(port); });
}

tl::expected<void, std::string> EthdevPort::attach() {
  const std::string name = device_name(options_.devargs);
  std::uint16_t device = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &device) == 0) {
    return failed(options_, "is in use by another port", 0);
  }
  if (!options_.peer.path.empty() && !options_.peer.connects) remove_stale_socket(options_.peer.path);
  const FirstError reason;
  if (const int error = rte_dev_probe(options_.devargs.c_str()); error != 0) {
    const std::string obstacle = pci_obstacle(name);
    if (!obstacle.empty()) return failed(options_, "cannot be attached: " + obstacle, 0);
    // The number is often EPERM, since drivers return -1, whatever it was.
    if (reason.text().empty()) return failed(options_, "cannot be attached", error);
    return failed(options_, "cannot be attached: " + reason.text(), 0);
  }
  if (rte_eth_dev_get_port_by_name(name.c_str(), &device) == 0) {
    device_ = device;
  } else {
    rte_dev_iterator iterator;
    RTE_ETH_FOREACH_MATCHING_DEV(device, options_.devargs.c_str(), &iterator) {
      device_ = device;
      rte_eth_iterator_cleanup(&iterator);
      break;
    }
  }
  if (device_ == kNoDevice) {
    remove_probed(options_.devargs);
    return failed(options_, "is no Ethernet device", 0);
  }
  return {};
}

tl::expected<void, std::string> EthdevPort::check_mtu() const {
  const rte_eth_dev_info info = info_of(device_);
  // A device that cannot be told an MTU takes frames of any length that fit its buffers, and the switch sees to it.
  // Some say the largest MTU, others the largest frame, from which DPDK takes the header and the FCS off.
  constexpr std::uint32_t kHeaderAndFcs = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  const std::uint32_t largest_frame = std::max(info.max_rx_pktlen, kHeaderAndFcs);
  const std::uint32_t largest = std::min<std::uint32_t>(info.max_mtu, largest_frame - kHeaderAndFcs);
  if (info.max_mtu != 0 && (options_.mtu > largest || options_.mtu < info.min_mtu)) {
    return failed(options_,
                  "mtu: " + std::to_string(options_.mtu) + " is not one of the device's, " +
                      std::to_string(info.min_mtu) + " to " + std::to_string(largest),
                  0);
  }
  if (!chains_ && options_.mtu + kFrameOverhead > kOneMbuf) {
    return failed(options_,
                  "mtu: frames of " + std::to_string(options_.mtu) +
                      " take more than one buffer, and the device sends from one; right is at most " +
                      std::to_string(kOneMbuf - kFrameOverhead),
                  0);
  }
  return {};
}

tl::expected<void, std::string> EthdevPort::configure() {
  const rte_eth_dev_info info = info_of(device_);
  driver_ = info.driver_name;
  const std::uint16_t most = std::min(info.max_rx_queues, info.max_tx_queues);
  if (options_.queues > most) {
    return failed(
        options_,
        "queues: " + std::to_string(options_.queues) + " are asked for, the device has " + std::to_string(most), 0);
  }

  rte_eth_conf conf{};
  conf.rxmode.mtu = options_.mtu;
  if (checks_in_hardware(info)) conf.rxmode.offloads |= kRxChecksums;
  if ((info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 && options_.mtu > 1500) {
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
  }
  const std::uint64_t tx = info.tx_offload_capa;
  conf.txmode.offloads |= tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if ((tx & kTxChecksums) == kTxChecksums) {
    conf.txmode.offloads |= kTxChecksums;
    tx_.checksum = true;
    if ((tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0 && (tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0) {
      conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
      tx_.tso4 = tx_.tso6 = true;
    }
  }
  if (options_.queues > 1 && (info.flow_type_rss_offloads & kRss) != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = kRss & info.flow_type_rss_offloads;
  }
  chains_ = (tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  if (auto good = check_mtu(); !good) return good;
  if (const int error = rte_eth_dev_configure(device_, options_.queues, options_.queues, &conf); error != 0) {
    return failed(options_, "cannot be configured with " + std::to_string(options_.queues) + " queues", error);
  }
  return {};
}

tl::expected<void, std::string> EthdevPort::set_up_queues() {
  const XdpSockets before = XdpSockets::open_now();
  auto done = set_up_each_queue();
  xdp_sockets_ = XdpSockets::open_now().without(before);
  return done;
}

tl::expected<void, std::string> EthdevPort::set_up_each_queue() {
  std::uint16_t rx_size = options_.queue_size;
  std::uint16_t tx_size = options_.queue_size;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(device_, &rx_size, &tx_size); error != 0) {
    return failed(options_, "queue_size " + std::to_string(options_.queue_size) + " cannot be had", error);
  }
  const int node = rte_eth_dev_socket_id(device_);
  // Some devices fill rings of a size of their own, whatever they are asked for.
  const rte_eth_dev_info info = info_of(device_);
  const unsigned descriptors = std::max<unsigned>(rx_size, info.default_rxportconf.ring_size) +
                               std::max<unsigned>(tx_size, info.default_txportconf.ring_size);
  auto pool = options_.pools->make(options_.name, options_.queues * descriptors, node);
  if (!pool) return failed(options_, "its buffers cannot be had: " + pool.error(), 0);
  pool_ = *pool;
  for (std::uint16_t queue = 0; queue < options_.queues; ++queue) {
    const int rx_error = near_or_anywhere(
        node, [&](unsigned socket) { return rte_eth_rx_queue_setup(device_, queue, rx_size, socket, nullptr, pool_); });
    if (rx_error != 0) return failed(options_, "Rx queue " + std::to_string(queue) + " cannot be set up", rx_error);
    const int tx_error = near_or_anywhere(
        node, [&](unsigned socket) { return rte_eth_tx_queue_setup(device_, queue, tx_size, socket, nullptr); });
    if (tx_error != 0) return failed(options_, "Tx queue " + std::to_string(queue) + " cannot be set up", tx_error);
    auto pair = std::make_unique<EthdevQueue>();
    pair->device = device_;
    pair->queue = queue;
    pair->pool = pool_;
    pair->tx = tx_;
    pair->chains = chains_;
    pair->max_frame = options_.mtu + kFrameOverhead;
    queues_.push_back(std::move(pair));
  }
  return {};
}

tl::expected<void, std::string> EthdevPort::start() {
  // Drivers that cannot be told an MTU say so (-ENOTSUP), or that it was configured already: neither matters.
  static_cast<void>(rte_eth_dev_set_mtu(device_, options_.mtu));
  make_pacers();
  if (const int error = rte_eth_dev_start(device_); error != 0) return failed(options_, "cannot be started", error);
  started_ = has_run_ = true;
  // A switch takes frames for everybody. Drivers of devices that do anyway do not know the call.
  if (const int error = rte_eth_promiscuous_enable(device_); error != 0 && error != -ENOTSUP) {
    return failed(options_, "cannot be made promiscuous", error);
  }
  static_cast<void>(rte_eth_allmulticast_enable(device_));
  discard_frames_of_other_interfaces();
  return {};
}

/// net_af_packet of DPDK 22.11 opens its sockets for all protocols and binds them to the interface later: until then
/// they receive what comes in on every interface of the host. To the switch that would be frames of this port, MAC
/// addresses would move to it, and the traffic of others would follow. Whatever is there before the first PMD looks
/// goes.
void EthdevPort::discard_frames_of_other_interfaces() {
  if (driver_ != "net_af_packet") return;
  // A ring that has been seen empty holds nothing from before the bind; nor does one of which so many were taken.
  constexpr unsigned kMostFrames = 65536;
  std::array<rte_mbuf*, kBurstSize> mbufs;
  for (std::uint16_t queue = 0; queue < options_.queues; ++queue) {
    for (unsigned taken = 0; taken < kMostFrames;) {
      const std::uint16_t count = rte_eth_rx_burst(device_, queue, mbufs.data(), kBurstSize);
      if (count == 0) break;
      rte_pktmbuf_free_bulk(mbufs.data(), count);
      taken += count;
    }
  }
}

void EthdevPort::make_pacers() {
  if (options_.pace == EthdevOptions::Pace::none) return;
  Pacer::Clock clock{.tsc_hz = tsc_hz()};
  // Registered by whoever comes first, the driver or this, and then the same for both.
  if (rte_mbuf_dyn_rx_timestamp_register(&clock.stamp_offset, &clock.stamp_flag) != 0) clock.stamp_offset = -1;
  const double rate = options_.pace == EthdevOptions::Pace::rate ? options_.rate : 0;
  for (const auto& queue : queues_) {
    pacers_.push_back(std::make_unique<Pacer>(clock, rate));
    queue->pacer = pacers_.back().get();
  }
}

EthdevPort::~EthdevPort() {
  if (timer_ != 0) options_.host->loop->cancel(timer_);
  if (device_ == kNoDevice) return;
  rte_device* const device = info_of(device_).device;
  pacers_.clear();
  if (started_) static_cast<void>(rte_eth_dev_stop(device_));
  static_cast<void>(rte_eth_dev_close(device_));
  static_cast<void>(rte_dev_remove(device));
  xdp_sockets_.close();
  if (pool_ != nullptr) has_run_ ? options_.pools->retire(pool_) : options_.pools->discard(pool_);
}

std::vector<RxQueue> EthdevPort::rx_queues() {
  std::vector<RxQueue> queues;
  if (!started_) return queues;
  for (const auto& queue : queues_) queues.emplace_back(*queue);
  return queues;
}

std::vector<TxQueue> EthdevPort::tx_queues() {
  std::vector<TxQueue> queues;
  if (!started_) return queues;
  for (const auto& queue : queues_) queues.emplace_back(*queue);
  return queues;
}

PortStatus EthdevPort::status() const {
  PortStatus status;
  rte_eth_link link{};
  status.link_up = started_ && rte_eth_link_get_nowait(device_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  status.state = status.link_up               ? "up"
                 : options_.peer.path.empty() ? "down"
                 : options_.peer.connects     ? "connecting"
                                              : "listening";
  status.details.emplace_back("device", device_name(options_.devargs));
  status.details.emplace_back("driver", driver_);
  rte_ether_addr mac{};
  if (rte_eth_macaddr_get(device_, &mac) == 0) {
    std::array<char, RTE_ETHER_ADDR_FMT_SIZE> text{};
    rte_ether_format_addr(text.data(), text.size(), &mac);
    status.details.emplace_back("mac", text.data());
  }
  if (status.link_up && link.link_speed != RTE_ETH_SPEED_NUM_NONE && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN) {
    status.details.emplace_back("speed", std::to_string(link.link_speed) + " Mbit/s");
  }
  if (const int node = numa_node(); node >= 0) status.details.emplace_back("NUMA node", std::to_string(node));
  status.details.emplace_back("offloads", tx_.tso4 ? "checksum, TSO" : tx_.checksum ? "checksum" : "none");
  add_losses(status);
  return status;
}

void EthdevPort::add_losses(PortStatus& status) const {
  rte_eth_stats stats{};
  if (!started_ || rte_eth_stats_get(device_, &stats) != 0) return;
  const std::initializer_list<std::pair<const char*, std::uint64_t>> losses = {
      {"rx_missed", stats.imissed}, {"rx_errors", stats.ierrors}, {"rx_nombuf", stats.rx_nombuf}};
  for (const auto& [name, frames] : losses) {
    if (frames != 0) status.details.emplace_back(name, std::to_string(frames));
  }
}

int EthdevPort::numa_node() const { return rte_eth_dev_socket_id(device_); }

}  // namespace sluice::ports::ethdev
