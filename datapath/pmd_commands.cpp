// What becomes of the packets that missed: they wait with the PMD, in order, until the slow path's command says what is
// to be done with them; and frames that the slow path has a port receive. PMD thread; the way of a packet that did not
// miss is in pmd.cpp.
#include <rte_mbuf.h>

#include <array>

#include "datapath/execute.hpp"
#include "datapath/parse.hpp"
#include "datapath/pmd_state.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::datapath {

using flowtable::FlowEntry;
using flowtable::FlowKey;
using flowtable::PortId;
using ports::DropReason;
using ports::Frame;
using ports::kBurstSize;
using ports::PortCounters;

namespace {

/// Commands a loop carries out before it turns to the queues again.
constexpr std::size_t kCommandsPerLoop = 64;

}  // namespace

/// Keeps the i-th packet of the burst until its flow is decided.
void Pmd::State::add_pending(unsigned i, std::uint64_t arrival) {
  FlowEntry* entry = flows.entries[i];  // null for the first packet of a flow
  FlowKey key = flows.keys[i];
  key.mask_generation = flows.masks[i]->generation;
  const PortId port = key.in_port;
  PortCounters& in_counters = counters_of(port);
  if (entry == nullptr ? !pending.has_room_for_flow(port) : !pending.has_room_in(entry->pending)) {
    in_counters.drop(entry == nullptr ? DropReason::upcall_port_limit : DropReason::upcall_flow_limit);
    return;
  }
  // As many as are still free: so of any number of ports that fill the table, none gets the last place from another
  // that has nothing waiting (the dynamic thresholds of Choudhury and Hahne).
  if (entry == nullptr && pending.flows_of(port) >= table.capacity() - table.size()) {
    in_counters.drop(DropReason::flow_table_full);
    return;
  }
  // How many buffers a frame takes is known once it is in them.
  rte_mbuf* mbuf = pending.has_room_for_packet(port, 1) ? ports::take_mbuf(*flows.frames[i], pool) : nullptr;
  if (mbuf != nullptr && !pending.has_room_for_packet(port, mbuf->nb_segs)) {
    rte_pktmbuf_free(mbuf);
    mbuf = nullptr;
  }
  if (mbuf == nullptr) {
    in_counters.drop(DropReason::upcall_no_memory);
    return;
  }
  if (entry == nullptr) {
    entry = table.insert(flows.masked[i], flows.hashes[i]);
    entry->pending = pending.open(port);
    // Never full: it holds as many as may be pending.
    upcalls.push(Upcall{key, entry->id, mbuf->pkt_len, now_ns});
    upcalled = true;
    counters.misses.add(1);
    counters.upcalls.add(1);
  } else {
    counters.queued.add(1);
  }
  pending.push(entry->pending, {mbuf, arrival});
}

bool Pmd::State::carry_out_commands() {
  if (commands.empty()) return false;  // nearly always: before there is a batch to be made ready
  std::array<Command, kCommandsPerLoop> batch;
  const std::size_t count = commands.pop(batch);
  for (const Command& command : std::span(batch.data(), count)) table.prefetch(command.entry);
  for (const Command& command : std::span(batch.data(), count)) {
    switch (command.kind) {
      case Command::Kind::install: install(table.entry(command.entry), *command.decision); break;
      case Command::Kind::reclassify: reclassify(table.entry(command.entry)); break;
      case Command::Kind::remove: remove(table.entry(command.entry)); break;
      case Command::Kind::inject: inject(command.frame, command.port); break;
    }
  }
  return count != 0;
}

/// Makes a packet that has waited the next frame of the burst.
void Pmd::State::add_to_burst(rte_mbuf* mbuf, PortId in_port) {
  const ports::Offload offload = ports::remembered_offload(mbuf);
  Frame& frame = burst.frames[burst.count];
  if (const auto reason = ports::from_mbuf(mbuf, std::span(burst.segments).subspan(burst.segment_count), frame)) {
    counters_of(in_port).drop(*reason);
    return;
  }
  frame.offload = offload;
  burst.segment_count += frame.rest_count;
  ++burst.count;
}

/// Makes the packets that have waited longest in `queue` a burst. False if there are none.
bool Pmd::State::take_waiting(PendingFlows::Queue queue) {
  burst.clear();
  bool taken = false;
  while (burst.count < kBurstSize && burst.segment_count + ports::kMaxSegments <= ports::Burst::kSegments) {
    rte_mbuf* mbuf = pending.pop(queue).mbuf;
    if (mbuf == nullptr) break;
    taken = true;
    add_to_burst(mbuf, pending.port_of(queue));
  }
  return taken;
}

/// Frees the mbufs of a burst of packets that have waited that were not taken by a transmit.
void Pmd::State::free_burst() {
  for (Frame& frame : burst.view()) {
    if (frame.mbuf != nullptr) rte_pktmbuf_free(frame.mbuf);
  }
}

void Pmd::State::install(FlowEntry& entry, const flowtable::Decision& decision) {
  if (entry.decision != nullptr) {  // decided anew: nothing waits
    entry.decision = &decision;
    return;
  }
  const PendingFlows::Queue queue = entry.pending;
  const PortId in_port = pending.port_of(queue);
  if (entry.key.mask_generation != mask_view->ports[in_port][entry.key.packet_class].generation) {
    // The slow path has changed the masks since it said so, and will have the entry removed, which nothing finds any
    // more. Packets that came earlier may have gone on to an entry of the new masks, just before: no overtaking.
    entry.decision = &decision;
    look_up_again(queue);
    return;
  }
  while (take_waiting(queue)) {
    egress.begin(*view);
    for (Frame& frame : burst.view()) {
      // It was parsed when it came; this finds its headers again.
      static_cast<void>(parse(frame, in_port, flows.keys[0]));
      entry.packets.add(1);
      entry.bytes.add(frame.size);
      entry.used_ns.set(now_ns);
      execute(frame, *decision.actions(), entry.hash, egress, counters_of(in_port));
    }
    egress.flush();
    free_burst();
  }
  pending.close(queue);
  entry.decision = &decision;
}

/// The masks have changed since the entry was made.
void Pmd::State::reclassify(FlowEntry& entry) {
  const PendingFlows::Queue queue = entry.pending;
  table.erase(entry);
  look_up_again(queue);
}

/// Closes the queue of an entry that was made with masks of before. Packets of the same flow that came since may wait
/// in a new entry already; so each keeps the number that it came by, and goes in front of those that came later.
///
/// Why that keeps the order, however often masks change: of the entries that packets of one flow wait in, one at most
/// is of the masks that are used now, and its upcall is the last. Upcalls of a port are answered in order; so all
/// others have come here, and their packets into that one, before it is decided. And packets leave from that one alone.
void Pmd::State::look_up_again(PendingFlows::Queue queue) {
  const PortId in_port = pending.port_of(queue);
  std::array<PendingFlows::Packet, PendingFlows::kPacketsPerFlow> waiting;
  std::size_t count = 0;
  for (auto packet = pending.pop(queue); packet.mbuf != nullptr; packet = pending.pop(queue)) waiting[count++] = packet;
  pending.close(queue);
  for (const PendingFlows::Packet& packet : std::span(waiting.data(), count)) {
    burst.clear();
    add_to_burst(packet.mbuf, in_port);
    switch_frames(burst.view(), in_port, packet.arrival);
    free_burst();
  }
}

void Pmd::State::remove(FlowEntry& entry) {
  if (entry.decision == nullptr) {
    const PortId in_port = pending.port_of(entry.pending);
    while (rte_mbuf* mbuf = pending.pop(entry.pending).mbuf) {
      rte_pktmbuf_free(mbuf);
      counters_of(in_port).drop(DropReason::upcall_stopped);
    }
    pending.close(entry.pending);
  }
  table.erase(entry);
}

/// From here on like any packet: received, looked up, and if its flow is new, kept until it is decided.
void Pmd::State::inject(rte_mbuf* mbuf, PortId in_port) {
  if (in_port >= mask_view->ports.size() || in_port >= view->counters.size()) {
    // Masks that know the port are on their way, or the port is gone: nothing has come from it.
    rte_pktmbuf_free(mbuf);
    return;
  }
  PortCounters& in_counters = counters_of(in_port);
  in_counters.rx_packets.add(1);
  in_counters.rx_bytes.add(mbuf->pkt_len);
  burst.clear();
  add_to_burst(mbuf, in_port);
  counters.packets.add(burst.count);
  switch_frames(burst.view(), in_port, arrivals);
  arrivals += burst.count;
  free_burst();
}

bool Pmd::has_waiting(PortId port) const { return state_->pending.flows_of(port) != 0; }

/// When the PMD has stopped for good: what the slow path sent to it meanwhile.
void Pmd::State::free_injected() {
  Command command;
  while (commands.pop({&command, 1}) == 1) rte_pktmbuf_free(command.frame);  // null but for inject
}

}  // namespace sluice::datapath
