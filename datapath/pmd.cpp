// The way of a packet, in order: receive, parse, look up, hand off misses, execute, transmit, release. PMD thread. What
// becomes of the packets that missed is in pmd_commands.cpp.
#include "datapath/pmd.hpp"

#include <rte_cycles.h>

#include <utility>

#include "datapath/execute.hpp"
#include "datapath/parse.hpp"
#include "datapath/parse_plain.hpp"
#include "datapath/pmd_state.hpp"
#include "flowtable/mask.hpp"

namespace sluice::datapath {

using flowtable::FlowEntry;
using flowtable::FlowKey;
using flowtable::PortId;
using ports::DropReason;
using ports::Frame;
using ports::PortCounters;

bool Pmd::State::run_once(std::uint64_t now) {
  const std::uint64_t start = rte_rdtsc();
  // What lies between two loops belongs to the first: a pause, or a sleep, follows one that had no work.
  (worked ? counters.busy_cycles : counters.idle_cycles).add(start - counted_until);
  counted_until = start;
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
    if (busy) counted_until = rte_rdtsc();
    for (const PolledQueue& polled : view->rx) busy |= poll(polled);
    if (busy) {
      for (const PolledQueue& polled : view->rx) polled.queue.expect();
    }
  }
  notifier.notify();
  if (upcalled && doorbell != nullptr) [[unlikely]]
    doorbell->ring();
  upcalled = false;
  loop.leave();
  counted_until = rte_rdtsc();
  (busy ? counters.busy_cycles : counters.idle_cycles).add(counted_until - start);
  worked = busy;
  return busy;
}

/// One burst of one queue, from receive to transmit. Looking at queues that had nothing is counted with the next that
/// has something: the clock is read where there is something to count alone.
bool Pmd::State::poll(const PolledQueue& polled) {
  if (polled.port >= mask_view->ports.size()) return false;  // the slow path has yet to hear of the port
  polled.queue.receive(burst, counters_of(polled.port));
  if (burst.count == 0 && burst.borrowed_count == 0) return false;
  const unsigned frames = burst.count;
  switch_frames(burst.view(), polled.port, arrivals);
  arrivals += burst.count;
  polled.queue.release(burst, notifier);

  counters.batches.add(1);
  counters.packets.add(frames);
  polled.counters->batches.add(1);
  polled.counters->packets.add(frames);
  const std::uint64_t now = rte_rdtsc();
  polled.counters->busy_cycles.add(now - counted_until);
  counted_until = now;
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
  unsigned count = 0;
  for (Frame& frame : frames) {
    if (!parse_plain(frame, in_port, flows.keys[count])) [[unlikely]] {
      if (const auto reason = parse_any(frame, in_port, flows.keys[count])) {
        counters_of(in_port).drop(*reason);
        continue;
      }
    }
    flows.frames[count] = &frame;
    flows.masks[count] = &port_masks[flows.keys[count].packet_class];
    ++count;
  }
  flows.count = count;
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

/// By runs of frames of one flow: what is the flow's is looked at and counted once a run.
void Pmd::State::execute_hits(PortId in_port) {
  PortCounters& in_counters = counters_of(in_port);
  const unsigned count = flows.count;
  std::uint64_t hits = 0;
  for (unsigned begin = 0, end = 0; begin != count; begin = end) {
    FlowEntry* const entry = flows.entries[begin];
    std::uint64_t bytes = 0;
    do {
      bytes += flows.frames[end]->size;
      ++end;
    } while (end != count && flows.entries[end] == entry);
    if (entry == nullptr) [[unlikely]]
      continue;
    entry->packets.add(end - begin);
    entry->bytes.add(bytes);
    entry->used_ns.set(now_ns);
    execute(std::span(flows.frames).subspan(begin, end - begin), *entry->decision->actions(), entry->hash, egress,
            in_counters);
    hits += end - begin;
  }
  counters.hits.add(hits);
}

Pmd::Pmd(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pmd::~Pmd() = default;

tl::expected<std::unique_ptr<Pmd>, int> Pmd::create(const PmdOptions& options) {
  auto table = flowtable::FlowTable::create(options.flow_limit, options.secret);
  if (!table) return tl::unexpected(table.error());
  return std::unique_ptr<Pmd>(new Pmd(std::make_unique<State>(options, std::move(*table))));
}

bool Pmd::run_once(std::uint64_t now_ns) { return state_->run_once(now_ns); }

const FlowEntry* Pmd::adopt(const FlowKey& masked_key, const flowtable::Decision& decision) {
  flowtable::FlowTable& table = state_->table;
  if (table.find(masked_key) != nullptr) return nullptr;
  FlowEntry* const entry = table.insert(masked_key, table.hash_of(masked_key));
  if (entry != nullptr) entry->decision = &decision;
  return entry;
}

void Pmd::forget_flows() { state_->table.clear(); }

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
rte_mempool* Pmd::pool() const { return state_->pool; }

}  // namespace sluice::datapath
