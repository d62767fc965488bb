#include "control/keeper/port_slots.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::control {

using ports::vhost::PortState;

std::uint32_t PortSlots::state(unsigned slot) const {
  // acquire: before the name.
  return shared_->labels[slot].in_use.load(std::memory_order_acquire);
}

bool PortSlots::is_at_socket(unsigned slot, const PortIdentity& port) const {
  const PortState& vhost = shared_->vhost[slot].state;
  return vhost.layout == PortState::kLayout && port.socket == vhost.path.data() && port.connects == (vhost.client != 0);
}

/// By its name: but a VM that is at another socket is another VM.
bool PortSlots::may_have(unsigned slot, const PortIdentity& port) const {
  return port.name == shared_->labels[slot].name.data() &&
         (shared_->vhost[slot].state.layout == 0 || (!port.socket.empty() && is_at_socket(slot, port)));
}

Expected<std::vector<unsigned>> PortSlots::find(std::span<const PortIdentity> ports) const {
  std::vector<unsigned> named;
  std::vector<unsigned> free;
  for (unsigned slot = SharedState::kMaxSlots; slot-- > 0;) {
    if (claimed_[slot]) continue;
    if (state(slot) == PortLabel::kNamed) named.push_back(slot);
    if (state(slot) == PortLabel::kFree) free.push_back(slot);
  }
  constexpr unsigned kNone = SharedState::kMaxSlots;
  std::vector<unsigned> found(ports.size(), kNone);
  const auto look = [&](auto fits) {
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (found[i] != kNone) continue;
      const auto at = std::find_if(named.begin(), named.end(), [&](unsigned slot) { return fits(slot, ports[i]); });
      if (at == named.end()) continue;
      found[i] = *at;
      named.erase(at);
    }
  };
  look([this](unsigned slot, const PortIdentity& port) { return !port.socket.empty() && is_at_socket(slot, port); });
  look([this](unsigned slot, const PortIdentity& port) { return may_have(slot, port); });
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (found[i] != kNone) continue;
    if (free.empty()) {
      return tl::unexpected(Error{fmt::format(
          "port '{}': there is no room for it beside the ports that are there, or are about to go; a switch has at "
          "most {}",
          ports[i].name, SharedState::kMaxSlots)});
    }
    found[i] = free.back();
    free.pop_back();
  }
  return found;
}

void PortSlots::settle(unsigned slot, const std::string& name) {
  PortLabel& label = shared_->labels[slot];
  claimed_[slot] = true;
  if (name != label.name.data()) {
    // Who is killed in the middle leaves a port without a good name. It had none before, or is found by its socket.
    label.name.fill(0);
    name.copy(label.name.data(), label.name.size() - 1);
  }
  // release: after the name.
  label.in_use.store(PortLabel::kNamed, std::memory_order_release);
}

void PortSlots::retire(unsigned slot) {
  shared_->labels[slot].in_use.store(PortLabel::kLeaving, std::memory_order_release);
}

void PortSlots::release(unsigned slot) {
  retire(slot);  // first: who is killed in the middle of the rest leaves it to be done again
  shared_.clear_slot(slot);
  claimed_[slot] = false;
}

std::vector<unsigned> PortSlots::unclaimed() const {
  std::vector<unsigned> slots;
  for (unsigned slot = 0; slot < SharedState::kMaxSlots; ++slot) {
    if (!claimed_[slot] && state(slot) != PortLabel::kFree) slots.push_back(slot);
  }
  return slots;
}

}  // namespace sluice::control
