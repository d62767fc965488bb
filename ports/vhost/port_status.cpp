// What `show ports` and the log say of a vhost-user port, and the lists of its queues.
#include <algorithm>

#include "ports/vhost/feature_names.hpp"
#include "ports/vhost/vhost_port.hpp"

namespace sluice::ports::vhost {
namespace {

std::string megabytes(const GuestMemory& memory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : memory.entries()) bytes += entry.region.size;
  const std::size_t regions = memory.entries().size();
  return std::to_string(bytes >> 20U) + " MiB in " + std::to_string(regions) + (regions == 1 ? " region" : " regions");
}

bool is_to_guest(unsigned ring) { return ring % 2 == 0; }

std::string ring_name(unsigned ring) {
  return (is_to_guest(ring) ? "to guest " : "from guest ") + std::to_string(ring / 2);
}

std::string describe_ring(const RingState& ring, const VhostQueue& queue) {
  std::string text = "size " + std::to_string(ring.size) + (ring.enabled != 0 ? ", enabled" : ", disabled");
  // relaxed: only whether it is null is looked at.
  if (queue.vring.load(std::memory_order_relaxed) == nullptr) text += ", waiting for its memory";
  return text + ", interrupts " + std::to_string(queue.interrupts.get()) + " (failed " +
         std::to_string(queue.interrupts_failed.get()) + "), guest errors " + std::to_string(queue.guest_errors.get());
}

}  // namespace

std::vector<RxQueue> VhostPort::rx_queues() {
  std::vector<RxQueue> queues;
  for (VhostQueue* queue : device_.rx_queues()) queues.emplace_back(*queue);
  return queues;
}

std::vector<TxQueue> VhostPort::tx_queues() {
  std::vector<TxQueue> queues;
  for (VhostQueue* queue : device_.tx_queues()) queues.emplace_back(*queue);
  return queues;
}

PortStatus VhostPort::status() const {
  const PortState& state = device_.state();
  const Rings& rings = device_.rings();
  PortStatus status;
  for (unsigned i = 0; i < rings.count(); ++i) {
    status.link_up |= rings.ring(i).started != 0 && rings.ring(i).enabled != 0;
  }
  const bool server = options_.mode == SocketMode::server;
  status.state = connection_ != nullptr ? "connected" : held_off() ? "held off" : server ? "listening" : "connecting";
  status.details.emplace_back("mode", server ? "server" : "client");
  status.details.emplace_back("path", options_.path);
  if (connection_ == nullptr) return status;

  status.details.emplace_back("features", feature_names(state.features));
  status.details.emplace_back("protocol features", protocol_feature_names(state.protocol_features));
  status.details.emplace_back("rings", (state.features & feature::kRingPacked) != 0 ? "packed" : "split");
  status.details.emplace_back("queue pairs", "at most " + std::to_string(options_.queue_pairs));
  for (unsigned i = 0; i < rings.count(); ++i) {
    if (rings.ring(i).started == 0) continue;
    status.details.emplace_back(ring_name(i), describe_ring(rings.ring(i), rings.queue(i)));
  }
  if (rings.memory() != nullptr) status.details.emplace_back("memory", megabytes(*rings.memory()));
  const int node = numa_node();
  status.details.emplace_back("NUMA node", node < 0 ? "unknown" : std::to_string(node));
  status.details.emplace_back("MTU", std::to_string(state.mtu != 0 ? state.mtu : options_.mtu));
  const bool logging = (state.features & feature::kLogAll) != 0 && rings.log() != nullptr;
  status.details.emplace_back("dirty log", logging ? "on" : "off");
  return status;
}

/// For the log: those that PMDs work with, and what was negotiated for them.
std::string VhostPort::describe_rings() const {
  std::string text;
  for (unsigned i = 0; i < device_.rings().count(); ++i) {
    const RingState& ring = device_.rings().ring(i);
    if (ring.started == 0 || (is_to_guest(i) && ring.enabled == 0)) continue;
    text += ring_name(i) + " (size " + std::to_string(ring.size) + "), ";
  }
  return text.empty() ? "none" : text + "features " + feature_names(device_.state().features);
}

int VhostPort::numa_node() const { return device_.numa_node(); }

}  // namespace sluice::ports::vhost
