// How a switch stops between two bursts for another worker to go on in its place, and shows that it works meanwhile.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "control/switch/impl.hpp"
#include "control/switch/long_work.hpp"
#include "control/switch/make_port.hpp"

namespace sluice::control {
namespace {

using std::chrono::steady_clock;

/// The longest that packets which wait for a decision are waited for. It takes a part of a millisecond, unless the slow
/// path has to wait for its core; guests' rings hold more than packets that would be dropped.
constexpr std::chrono::milliseconds kDrainPatience{20};

/// A sleep and no yield: who yields to a program that spins on the same core gets it back after milliseconds.
constexpr std::chrono::microseconds kLook{10};

}  // namespace

/// Whether packets wait in here for a decision, or for a PMD to hear of it.
bool Switch::Impl::some_wait() const {
  return std::ranges::any_of(pmds.members(), [this](const PmdSet::Member& member) {
    return !member.pmd->commands().empty() ||
           std::ranges::any_of(ports.all(), [&](const SwitchPort& port) { return member.pmd->has_waiting(port.id); });
  });
}

/// Waits until every packet that a PMD has taken is decided and gone. Nothing is received meanwhile.
void Switch::Impl::drain() const {
  const auto deadline = steady_clock::now() + kDrainPatience;
  do {
    while (some_wait() && steady_clock::now() < deadline) std::this_thread::sleep_for(kLook);
    pmds.wait();  // a PMD that looks waiting packets up anew has none for a moment, within a loop
  } while (some_wait() && steady_clock::now() < deadline);
}

void Switch::park() {
  make_urgent(impl_->slow_path->kernel_id());
  std::vector<PortQueues> ports = impl_->ports.queues();
  for (PortQueues& port : ports) port.rx.clear();
  impl_->pmds.use(ports);
  impl_->drain();
  // Other rounds would age and learn addresses in the memory that the next worker does that in.
  impl_->slow_path->ask_to_rest();
  impl_->pmds.rest_threads();
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->leave();
  }
  impl_->slow_path->rest();
}

void Switch::unpark() {
  impl_->slow_path->go_on();
  // Devices were closed before, and PMDs rest: whoever still has a buffer has forgotten it.
  if (!impl_->some_wait()) impl_->port_pools.discard_retired();
  for (SwitchPort& port : impl_->ports.all()) {
    if (port.port != nullptr) port.port->stay();
  }
  impl_->pmds.use(impl_->ports.queues());
  impl_->pmds.start_threads();
  const LongWork work(impl_->link.heartbeat());
  impl_->open_ethdevs();
  impl_->tell_missed();
}

void Switch::schedule_slow_path(const Scheduling& scheduling) { scheduling.apply(impl_->slow_path->kernel_id()); }

void Switch::abandon_others() {
  impl_->slow_path->post([](SlowPath& slow) { slow.forget_unwanted_of_fdb(); });
  for (const unsigned slot : impl_->link.slots().unclaimed()) {
    abandon_port(impl_->link.estate(slot));
    impl_->link.give_up(slot);
  }
  // The configuration may come to the same again, and would find them.
  if (const auto noted = impl_->changes.forget_fallen(); !noted)
    impl_->host.log(ports::Severity::error, noted.error().message);
}

void Switch::beat() const { impl_->beat(); }

void Switch::Impl::beat() const {
  Heartbeat& heartbeat = link.heartbeat();
  // relaxed: each is a number for itself.
  heartbeat.control_thread.store(static_cast<std::uint32_t>(::gettid()), std::memory_order_relaxed);
  heartbeat.control.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace sluice::control
