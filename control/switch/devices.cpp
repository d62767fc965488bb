// Ports that are devices, which one process has at a time. They are opened last, since no guest waits for them, and
// closed first. One that cannot be had any more, a NIC that was pulled out, say, must not cut off guests: it is missed,
// and looked for again and again. So is a guest's port that can neither listen nor was left a socket that does.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/switch/impl.hpp"
#include "control/switch/long_work.hpp"
#include "control/switch/make_port.hpp"

namespace sluice::control {

using std::chrono::milliseconds;

namespace {

/// How often a PMD is looked after that may be held up in a write to a guest's eventfd, and how often it is
/// seen what is left of ports that went.
constexpr milliseconds kStallCheck{20};
constexpr milliseconds kLeavingCheck{200};

/// For devices of a worker before us to be free, and how often that is tried.
constexpr milliseconds kDevicePatience{500};
constexpr milliseconds kDeviceLook{25};

/// How long after the last look a device that is missed is looked for again: each time twice as long.
constexpr milliseconds kFirstSearch{1000};
constexpr milliseconds kLongestSearch{32000};

bool is_device(const SwitchPort& port) { return !port.config.vhost_user; }
/// But for those that were added at run time and are no devices: see drop_unopened().
bool is_missed(const SwitchPort& port) { return port.port == nullptr && (is_device(port) || port.config.text.empty()); }

}  // namespace

bool Switch::has_devices() const { return std::ranges::any_of(impl_->ports.all(), is_device); }

Expected<void> Switch::open_devices(bool all) {
  impl_->open_ethdevs();
  for (const SwitchPort& port : impl_->ports.all()) {
    if (all && port.port == nullptr && port.config.text.empty())
      return tl::unexpected(Error{impl_->unopened[port.config.name]});
  }
  for (const std::string& line : impl_->effective.dropped) impl_->host.log(ports::Severity::warning, line);
  impl_->drop_unopened();
  impl_->tell_missed();
  impl_->stall_timer = impl_->loop.every(kStallCheck, [i = impl_.get()] { i->pmds.interrupt_stalled(); });
  impl_->leaving_timer = impl_->loop.every(kLeavingCheck, [i = impl_.get()] {
    i->ask_for_forgotten_ids();
    i->collect_pools();
  });
  return {};
}

void Switch::close_devices() {
  const LongWork work(impl_->link.heartbeat());
  for (SwitchPort& port : impl_->ports.all()) port.in_use = !is_device(port) && port.port != nullptr;
  impl_->pmds.use(impl_->ports.queues());
  for (SwitchPort& port : impl_->ports.all()) {
    if (is_device(port)) port.port.reset();
  }
}

/// There are none that could be shared with another worker: they are opened when that has let go of them. Some the
/// kernel gives back a while later (a queue of af_xdp: its buffers are released by a work queue).
void Switch::Impl::open_ethdevs() {
  const auto deadline = std::chrono::steady_clock::now() + (link.restarts() > 0 ? kDevicePatience : milliseconds(0));
  while (!try_ethdevs() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kDeviceLook);
    port_pools.collect(host.wait_for_pmds);
  }
  pmds.use(ports.queues());
}

/// Opens those that are not open; whether all are, then. Of the others, `unopened` says why.
bool Switch::Impl::try_ethdevs() {
  bool all = true;
  for (SwitchPort& port : ports.all()) {
    if (!is_device(port) || port.port != nullptr) continue;
    auto opened = open_ethdev(port.config, host, port_pools);
    if (opened) {
      adopt(port, std::move(*opened));
      port.in_use = true;
    } else {
      unopened[port.config.name] = opened.error().message;
      all = false;
    }
  }
  return all;
}

/// The same for guests' ports.
void Switch::Impl::try_missed_guests() {
  for (SwitchPort& port : ports.all()) {
    if (is_device(port) || !is_missed(port)) continue;
    auto prepared = prepare_vhost_user(port.config, host, link.estate(port.id));
    if (!prepared) {
      unopened[port.config.name] = prepared.error().message;
      continue;
    }
    adopt(port, std::move(*prepared));
    port.port->activate();
    port.in_use = true;
  }
}

/// Nobody has checked of a guest's port that was added at run time whether it can still be had: its socket may be
/// another's by now, and will not be ours again.
void Switch::Impl::drop_unopened() {
  std::vector<std::string> names_of_them;
  for (const SwitchPort& port : ports.all()) {
    if (port.port == nullptr && !is_missed(port)) names_of_them.push_back(port.config.name);
  }
  for (const std::string& name : names_of_them) {
    host.log(ports::Severity::warning, fmt::format("port '{}' is dropped: {}", name, unopened[name]));
    slow_path->post([id = close_port(name)](SlowPath& slow) { slow.remove_port(id); });
    changes.fell(Change::Kind::port, name);
  }
}

void Switch::Impl::tell_missed() {
  for (const SwitchPort& port : ports.all()) {
    if (!is_missed(port)) continue;
    host.log(ports::Severity::error,
             fmt::format("{}; the switch goes on without it, and looks for it", unopened[port.config.name]));
  }
  search_later(kFirstSearch);
}

void Switch::Impl::search_later(milliseconds delay) {
  loop.cancel(std::exchange(search_timer, 0));
  if (std::ranges::none_of(ports.all(), is_missed)) return;
  search_timer = loop.after(delay, [this, delay] {
    search_timer = 0;
    search();
    search_later(std::min(2 * delay, kLongestSearch));
  });
}

void Switch::Impl::search() {
  const LongWork work(link.heartbeat());
  std::vector<std::string> missed;
  for (const SwitchPort& port : ports.all()) {
    if (is_missed(port)) missed.push_back(port.config.name);
  }
  try_ethdevs();
  try_missed_guests();
  pmds.use(ports.queues());
  for (const std::string& name : missed) {
    if (ports.find(name)->port != nullptr) host.log(ports::Severity::info, fmt::format("port '{}' is back", name));
  }
}

}  // namespace sluice::control
