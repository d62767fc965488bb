// On which NUMA node a guest's memory is, and that what PMDs write of its port is there too. Control thread.
//
// To move pages takes the kernel's own threads on every core, which on a busy machine come late: it is never done while
// a guest waits for its port to be taken up, but before that, or well after.
#include "ports/vhost/device.hpp"

namespace sluice::ports::vhost {

void Device::settle_prepared() {
  if (rings_.memory() == nullptr) return;
  rings_.memory()->touch();
  if (numa_node_ < 0) numa_node_ = rings_.memory()->numa_node();
  move_to_node();
}

void Device::settle() {
  const int before = numa_node_;
  if (numa_node_ < 0) find_node();
  move_to_node();
  if (numa_node_ != before) tell_queues_changed();
}

void Device::find_node() {
  if (rings_.memory() != nullptr) ask_node(*rings_.memory());
}

void Device::ask_node(const GuestMemory& memory) {
  numa_node_ = memory.numa_node();
  state_.node = static_cast<std::uint32_t>(numa_node_ + 1);
  move_to_node();
}

void Device::move_to_node() {
  if (numa_node_ < 0 || numa_node_ == moved_to_) return;
  moved_to_ = numa_node_;
  rings_.move_queues_to(numa_node_);
  events_.moved_to_node(numa_node_);
}

}  // namespace sluice::ports::vhost
