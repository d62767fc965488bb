#include "datapath/pending.hpp"

#include <rte_mbuf.h>

#include <algorithm>

namespace sluice::datapath {

PendingFlows::PendingFlows(const PendingLimits& limits)
    : limits_(limits),
      flow_share_(std::min(limits.flows_per_port, limits.flows)),
      buffer_share_(limits.buffers),
      queues_(limits.flows),
      nodes_(limits.buffers),
      ports_(flowtable::kMaxPorts) {
  for (std::uint32_t i = 0; i < limits.flows; ++i) queues_[i].first = i + 1;
  for (std::uint32_t i = 0; i < limits.buffers; ++i) nodes_[i] = Node{{}, i + 1};
}

PendingFlows::~PendingFlows() {
  for (FlowQueue& queue : queues_) {
    if (queue.port == flowtable::kNoPort) continue;
    for (std::uint32_t n = queue.first; n != kNone; n = nodes_[n].next) rte_pktmbuf_free(nodes_[n].packet.mbuf);
  }
}

void PendingFlows::share_between(std::size_t ports) {
  const auto n = static_cast<std::uint32_t>(std::max<std::size_t>(ports, 1));
  buffer_share_ = std::max(64U, limits_.buffers / n);
  // A flow's first packet takes a buffer.
  flow_share_ = std::max(1U, std::min({limits_.flows_per_port, limits_.flows / n, buffer_share_}));
}

bool PendingFlows::has_room_for_flow(flowtable::PortId port) const {
  return flows_of(port) < flow_share_ && open_ < limits_.flows;
}

bool PendingFlows::has_room_for_packet(flowtable::PortId port, std::uint32_t buffers) const {
  return ports_[port].buffers + buffers <= buffer_share_ && free_node_ < limits_.buffers;
}

PendingFlows::Queue PendingFlows::open(flowtable::PortId port) {
  const Queue queue = free_queue_;
  free_queue_ = queues_[queue].first;
  queues_[queue] = FlowQueue{kNone, kNone, 0, port};
  count_flows(port, flows_of(port) + 1);
  ++open_;
  return queue;
}

void PendingFlows::push(Queue queue, const Packet& packet) {
  const std::uint32_t node = free_node_;
  free_node_ = nodes_[node].next;
  FlowQueue& q = queues_[queue];
  // Nearly always the last. Packets that are looked up again may have come before others that wait here.
  std::uint32_t before = q.last;
  if (before != kNone && nodes_[before].packet.arrival > packet.arrival) {
    before = kNone;
    for (std::uint32_t n = q.first; nodes_[n].packet.arrival < packet.arrival; n = nodes_[n].next) before = n;
  }
  std::uint32_t& link = before == kNone ? q.first : nodes_[before].next;
  nodes_[node] = Node{packet, q.last == before ? kNone : link};
  link = node;
  if (q.last == before) q.last = node;
  ++q.packets;
  ports_[q.port].buffers += packet.mbuf->nb_segs;
}

PendingFlows::Packet PendingFlows::pop(Queue queue) {
  FlowQueue& q = queues_[queue];
  if (q.first == kNone) return {};
  const std::uint32_t node = q.first;
  const Packet packet = nodes_[node].packet;
  q.first = nodes_[node].next;
  if (q.first == kNone) q.last = kNone;
  --q.packets;
  nodes_[node] = Node{{}, free_node_};
  free_node_ = node;
  ports_[q.port].buffers -= packet.mbuf->nb_segs;
  return packet;
}

void PendingFlows::close(Queue queue) {
  count_flows(port_of(queue), flows_of(port_of(queue)) - 1);
  --open_;
  queues_[queue] = FlowQueue{free_queue_, kNone, 0, flowtable::kNoPort};
  free_queue_ = queue;
}

}  // namespace sluice::datapath
