// EthdevPort, for devices that connect to a peer: such a device (memif as client) connects when it is started, once,
// and fails to start if nobody listens. So it is started when its peer is there, and again when that was lost; between
// the two the port has no queues. Control thread.
#include <rte_ethdev.h>

#include <chrono>

#include "ports/ethdev/ethdev_port.hpp"
#include "ports/event_loop.hpp"

namespace sluice::ports::ethdev {

namespace {

constexpr std::chrono::milliseconds kLook{100};
/// Looks until a device whose link is down is started again: peers take a moment to answer. Also, a driver that has
/// just said that its link is down may still be tidying up.
constexpr unsigned kPatience = 10;

}  // namespace

tl::expected<void, std::string> EthdevPort::keep_connected() {
  connect_if_served();
  timer_ = options_.host->loop->every(kLook, [this] { look_after_link(); });
  return {};
}

void EthdevPort::connect_if_served() {
  // Asked first, as drivers report a failure as an error, ten times a second.
  if (!is_served(options_.peer.path) || !start()) return;
  looks_without_link_ = 0;
  if (queues_changed) queues_changed();
}

void EthdevPort::look_after_link() {
  if (!started_) {
    connect_if_served();
    return;
  }
  rte_eth_link link{};
  const bool up = rte_eth_link_get_nowait(device_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  if (up != was_up_) {
    options_.host->log(Severity::info, "port '" + options_.name +
                                           "': " + (up ? "connected to " : "disconnected from ") + options_.peer.path);
    was_up_ = up;
  }
  looks_without_link_ = up ? 0 : looks_without_link_ + 1;
  if (looks_without_link_ < kPatience) return;
  started_ = false;
  if (queues_changed) queues_changed();  // returns when no PMD uses them any more
  static_cast<void>(rte_eth_dev_stop(device_));
}

}  // namespace sluice::ports::ethdev
