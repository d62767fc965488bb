// How a switch stops between two bursts for another worker to go on in its place, and shows that it works meanwhile.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "control/switch/impl.hpp"
#include "control/switch/make_port.hpp"

namespace sluice::control {
namespace {

using std::chrono::steady_clock;

/// The longest that packets which wait for a decision are waited for: they have never taken so long, and the guests
/// wait too.
constexpr std::chrono::milliseconds kDrainPatience{2};

/// A sleep and no yield: who yields to a program that spins on the same core gets it back after milliseconds.
constexpr std::chrono::microseconds kLook{10};

}  // namespace

/// Waits until every packet that a PMD has taken is decided and gone. Nothing is received meanwhile.
void Switch::Impl::drain() {
  const auto deadline = steady_clock::now() + kDrainPatience;
  const auto commands_wait = [this] {
    for (const PmdSet::Member& member : pmds.members()) {
      if (!member.pmd->commands().empty()) return true;
    }
    return false;
  };
  // Twice: a command may make a packet wait once more.
  for (unsigned at_rest = 0; at_rest < 2 && steady_clock::now() < deadline;) {
    const auto upcalls = std::make_shared<std::atomic<std::size_t>>(~std::size_t{0});
    // relaxed: nothing but the number is passed.
    slow_path->post([upcalls](SlowPath& slow) { upcalls->store(slow.upcalls_waiting(), std::memory_order_relaxed); });
    while (upcalls->load(std::memory_order_relaxed) == ~std::size_t{0}) std::this_thread::sleep_for(kLook);
    while (commands_wait() && steady_clock::now() < deadline) std::this_thread::sleep_for(kLook);
    pmds.wait();
    at_rest = upcalls->load(std::memory_order_relaxed) == 0 ? at_rest + 1 : 0;
  }
}

/// Guests are served meanwhile.
void Switch::Impl::close_ethdevs() {
  for (SwitchPort& port : ports.all()) port.in_use = port.config.vhost_user.has_value();
  pmds.use(ports.queues());
  for (SwitchPort& port : ports.all()) {
    if (!port.in_use) port.port.reset();
  }
}

void Switch::park() {
  impl_->close_ethdevs();
  std::vector<PortQueues> ports = impl_->ports.queues();
  for (PortQueues& port : ports) port.rx.clear();
  impl_->pmds.use(ports);
  impl_->drain();
  impl_->pmds.stop_threads();
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->leave();
  }
}

void Switch::unpark() {
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->stay();
  }
  impl_->pmds.use(impl_->ports.queues());
  impl_->pmds.start_threads();
  if (const auto opened = impl_->open_ethdevs(); !opened)
    impl_->host.log(ports::Severity::error, opened.error().message);
}

void Switch::abandon_other_ports() {
  for (const unsigned slot : impl_->link.unclaimed()) {
    abandon_port(impl_->link.estate(slot));
    impl_->link.give_up(slot);
  }
}

void Switch::beat(Heartbeat& heartbeat) const {
  const auto& members = impl_->pmds.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    // relaxed: each is a number for itself.
    heartbeat.pmds[i].loop.store(members[i].pmd->loop().value(), std::memory_order_relaxed);
    const int thread = members[i].thread == nullptr ? 0 : members[i].thread->kernel_id();
    heartbeat.pmds[i].thread.store(static_cast<std::uint32_t>(thread), std::memory_order_relaxed);
  }
  heartbeat.control_thread.store(static_cast<std::uint32_t>(::gettid()), std::memory_order_relaxed);
  heartbeat.control.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace sluice::control
