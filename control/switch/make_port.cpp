#include "control/switch/make_port.hpp"

#include <utility>

#include "ports/ethdev/ethdev_port.hpp"
#include "ports/vhost/vhost_port.hpp"

namespace sluice::control {
namespace {

using ports::ethdev::EthdevOptions;
using ports::ethdev::EthdevPort;
using ports::vhost::SocketMode;
using ports::vhost::VhostPort;
using ports::vhost::VhostPortOptions;

template <typename P>
Expected<std::unique_ptr<ports::Port>> or_error(tl::expected<std::unique_ptr<P>, std::string> port) {
  if (!port) return tl::unexpected(Error{port.error()});
  return std::move(*port);
}

EthdevOptions::Pace pace_of(double pcap_rate) {
  if (pcap_rate < 0) return EthdevOptions::Pace::recorded;
  return pcap_rate > 0 ? EthdevOptions::Pace::rate : EthdevOptions::Pace::none;
}

}  // namespace

Expected<std::unique_ptr<ports::Port>> prepare_vhost_user(const PortConfig& config, const ports::PortHost& host,
                                                          ports::vhost::Estate& estate,
                                                          const Circumstances& circumstances) {
  VhostPortOptions options;
  options.name = config.name;
  options.path = config.vhost_user->path;
  options.mode = config.vhost_user->mode == VhostUserConfig::Mode::server ? SocketMode::server : SocketMode::client;
  options.queue_pairs = config.queues;
  options.mtu = config.mtu;
  options.queue_size = config.queue_size;
  options.has_time = circumstances.has_time;
  options.has_to_go_on = circumstances.has_to_go_on;
  return or_error(VhostPort::prepare(options, host, estate));
}

void abandon_port(ports::vhost::Estate& estate) { VhostPort::abandon(estate); }

Expected<std::unique_ptr<ports::Port>> open_ethdev(const PortConfig& config, const ports::PortHost& host,
                                                   ports::PortPools& pools) {
  EthdevOptions options;
  options.name = config.name;
  options.devargs = config.ethdev->devargs;
  options.queues = config.queues;
  options.queue_size = config.queue_size;
  options.mtu = config.mtu;
  options.pools = &pools;
  options.pace = pace_of(config.ethdev->pcap_rate);
  options.rate = config.ethdev->pcap_rate;
  options.peer = {.path = config.ethdev->peer_path, .connects = config.ethdev->peer_connects};
  options.host = &host;
  return or_error(EthdevPort::create(options));
}

}  // namespace sluice::control
