#include "datapath/pmd.hpp"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <utility>

#include "datapath/egress.hpp"
#include "datapath/execute.hpp"
#include "datapath/parse.hpp"
#include "flowtable/mask.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::datapath {
namespace {

using flowtable::FlowEntry;
using flowtable::FlowKey;
using flowtable::PortId;
using ports::DropReason;
using ports::Frame;
using ports::kBurstSize;
using ports::PortCounters;

/// Commands a loop carries out before it turns to the queues again.
constexpr std::size_t kCommandsPerLoop = 64;

/// The frames of a burst that can be switched, and what is known of each, in step.
struct Classified {
  unsigned count = 0;
  std::array<Frame*, kBurstSize> frames;
  std::array<FlowKey, kBurstSize> keys;  ///< as parsed
  std::array<const flowtable::ClassMask*, kBurstSize> masks;
  std::array<FlowKey, kBurstSize> masked;  ///< as looked up
  std::array<std::uint64_t, kBurstSize> hashes;
  std::array<FlowEntry*, kBurstSize> entries;
};

}  // namespace

struct Pmd::State {
  State(const PmdOptions& options, flowtable::FlowTable flow_table)
      : pool(options.pool),
        table(std::move(flow_table)),
        upcalls(std::max<std::size_t>(options.ring_size, options.pending.flows)),
        commands(std::max<std::size_t>(options.ring_size, options.pending.flows)),
        pending(options.pending) {}
  ~State() { delete ports.load(std::memory_order_relaxed); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  bool run_once(std::uint64_t now);

  // The way of a packet, in order.
  bool poll(const PolledQueue& polled);
  void switch_frames(std::span<Frame> frames, PortId in_port, std::uint64_t first_arrival);
  void parse_all(std::span<Frame> frames, PortId in_port);
  void look_up();
  void hand_off_misses(std::uint64_t first_arrival);
  void execute_hits(PortId in_port);

  // What comes back for the packets that missed.
  bool carry_out_commands();
  void install(FlowEntry& entry, const flowtable::Decision& decision);
  void reclassify(FlowEntry& entry);
  void remove(FlowEntry& entry);

  void add_pending(unsigned i, std::uint64_t arrival);
  void free_burst();
  bool take_waiting(PendingFlows::Queue queue);
  void add_to_burst(rte_mbuf* mbuf, PortId in_port);
  [[nodiscard]] PortCounters& counters_of(PortId port) { return *view->counters[port]; }

  rte_mempool* const pool;
  flowtable::FlowTable table;
  UpcallRing upcalls;
  CommandRing commands;
  PendingFlows pending;
  PmdCounters counters;
  LoopCounter loop;
  std::atomic<const PortView*> ports{nullptr};
  std::atomic<const MaskView*> masks{nullptr};

  // As of this loop.
  const PortView* view = nullptr;
  const MaskView* mask_view = nullptr;
  std::size_t sharing_ports = 0;  ///< what is bounded is shared between so many
  std::uint64_t now_ns = 0;

  std::uint64_t arrivals = 0;  ///< frames that ever came
  ports::Burst burst;
  Classified flows;
  Egress egress;
};

bool Pmd::State::run_once(std::uint64_t now) {
  const std::uint64_t start = rte_rdtsc();
  loop.enter();
  // seq_cst: behind enter(), see grace.hpp.
  const PortView* now_view = ports.load(std::memory_order_seq_cst);
  mask_view = masks.load(std::memory_order_seq_cst);
  view = now_view;
  // By the number and not by the view's address, which the view before the last may have had as well.
  if (view != nullptr && view->polled_ports != sharing_ports) {
    sharing_ports = view->polled_ports;
    pending.share_between(sharing_ports);
  }
  now_ns = now;

  bool busy = false;
  if (view != nullptr && mask_view != nullptr) {
    busy = carry_out_commands();
    for (const PolledQueue& polled : view->rx) busy |= poll(polled);
  }
  loop.leave();
  (busy ? counters.busy_cycles : counters.idle_cycles).add(rte_rdtsc() - start);
  return busy;
}

/// One burst of one queue, from receive to transmit.
bool Pmd::State::poll(const PolledQueue& polled) {
  if (polled.port >= mask_view->ports.size()) return false;  // the slow path has yet to hear of the port
  const std::uint64_t start = rte_rdtsc();
  polled.queue.receive(burst, counters_of(polled.port));
  if (burst.count == 0 && burst.borrowed_count == 0) return false;
  const unsigned frames = burst.count;
  switch_frames(burst.view(), polled.port, arrivals);
  arrivals += burst.count;
  polled.queue.release(burst);

  counters.batches.add(1);
  counters.packets.add(frames);
  polled.counters->batches.add(1);
  polled.counters->packets.add(frames);
  polled.counters->busy_cycles.add(rte_rdtsc() - start);
  return true;
}

void Pmd::State::switch_frames(std::span<Frame> frames, PortId in_port, std::uint64_t first_arrival) {
  egress.begin(*view);
  parse_all(frames, in_port);
  look_up();
  hand_off_misses(first_arrival);
  execute_hits(in_port);
  egress.flush();
}

void Pmd::State::parse_all(std::span<Frame> frames, PortId in_port) {
  const MaskView::PortMasks& port_masks = mask_view->ports[in_port];
  flows.count = 0;
  for (Frame& frame : frames) {
    const unsigned i = flows.count;
    if (const auto reason = parse(frame, in_port, flows.keys[i])) [[unlikely]] {
      counters_of(in_port).drop(*reason);
      continue;
    }
    flows.frames[i] = &frame;
    flows.masks[i] = &port_masks[flows.keys[i].packet_class];
    flows.count = i + 1;
  }
}

void Pmd::State::look_up() {
  const std::span masked(flows.masked.data(), flows.count);
  flowtable::mask_burst(std::span<const FlowKey>(flows.keys.data(), flows.count),
                        std::span<const flowtable::ClassMask* const>(flows.masks.data(), flows.count), masked);
  table.lookup(masked, std::span(flows.entries.data(), flows.count), std::span(flows.hashes.data(), flows.count));
}

/// Sends the first packet of each new flow to wait for the slow path's decision, and the others of flows that wait
/// already behind theirs. What is left in `flows.entries` is there and decided.
void Pmd::State::hand_off_misses(std::uint64_t first_arrival) {
  bool inserted = false;
  for (unsigned i = 0; i < flows.count; ++i) {
    FlowEntry*& entry = flows.entries[i];
    // A flow that is new may have more than one packet in the burst, of which the first has made the entry.
    if (entry == nullptr && inserted) entry = table.find(flows.masked[i]);
    if (entry != nullptr && entry->decision != nullptr) [[likely]]
      continue;
    inserted |= entry == nullptr;
    add_pending(i, first_arrival + i);
    entry = nullptr;
  }
}

void Pmd::State::execute_hits(PortId in_port) {
  PortCounters& in_counters = counters_of(in_port);
  std::uint64_t hits = 0;
  for (unsigned i = 0; i < flows.count; ++i) {
    FlowEntry* entry = flows.entries[i];
    if (entry == nullptr) [[unlikely]]
      continue;
    Frame& frame = *flows.frames[i];
    entry->packets.add(1);
    entry->bytes.add(frame.size);
    entry->used_ns.set(now_ns);
    execute(frame, *entry->decision->actions(), entry->hash, egress, in_counters);
    ++hits;
  }
  counters.hits.add(hits);
}

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
  if (entry == nullptr && table.size() == table.capacity()) {
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
    counters.misses.add(1);
    counters.upcalls.add(1);
  } else {
    counters.queued.add(1);
  }
  pending.push(entry->pending, {mbuf, arrival});
}

bool Pmd::State::carry_out_commands() {
  std::array<Command, kCommandsPerLoop> batch;
  const std::size_t count = commands.pop(batch);
  for (const Command& command : std::span(batch.data(), count)) {
    FlowEntry& entry = table.entry(command.entry);
    switch (command.kind) {
      case Command::Kind::install: install(entry, *command.decision); break;
      case Command::Kind::reclassify: reclassify(entry); break;
      case Command::Kind::remove: remove(entry); break;
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

/// The masks have changed since the entry was made. Packets of the same flow that came since may wait in a new entry
/// already; so each keeps the number that it came by, and goes in front of those that came later.
void Pmd::State::reclassify(FlowEntry& entry) {
  const PendingFlows::Queue queue = entry.pending;
  const PortId in_port = pending.port_of(queue);
  std::array<PendingFlows::Packet, PendingFlows::kPacketsPerFlow> waiting;
  std::size_t count = 0;
  for (auto packet = pending.pop(queue); packet.mbuf != nullptr; packet = pending.pop(queue)) waiting[count++] = packet;
  pending.close(queue);
  table.erase(entry);
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

Pmd::Pmd(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pmd::~Pmd() = default;

tl::expected<std::unique_ptr<Pmd>, int> Pmd::create(const PmdOptions& options) {
  auto table = flowtable::FlowTable::create(options.flow_limit, options.secret);
  if (!table) return tl::unexpected(table.error());
  return std::unique_ptr<Pmd>(new Pmd(std::make_unique<State>(options, std::move(*table))));
}

bool Pmd::run_once(std::uint64_t now_ns) { return state_->run_once(now_ns); }

std::unique_ptr<const PortView> Pmd::publish_ports(std::unique_ptr<const PortView> view) {
  // seq_cst: before the loop counter's token is taken, see grace.hpp.
  return std::unique_ptr<const PortView>(state_->ports.exchange(view.release(), std::memory_order_seq_cst));
}

const MaskView* Pmd::publish_masks(const MaskView* view) {
  return state_->masks.exchange(view, std::memory_order_seq_cst);
}

const LoopCounter& Pmd::loop() const { return state_->loop; }
UpcallRing& Pmd::upcalls() { return state_->upcalls; }
CommandRing& Pmd::commands() { return state_->commands; }
const flowtable::FlowTable& Pmd::table() const { return state_->table; }
const PmdCounters& Pmd::counters() const { return state_->counters; }

}  // namespace sluice::datapath
