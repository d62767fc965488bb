#include "perf/vmgen/sender.hpp"

#include <algorithm>
#include <span>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "perf/vmgen/probe.hpp"

namespace sluice::vmgen {
namespace {

constexpr std::uint16_t kL2 = sizeof(rte_ether_hdr);
constexpr std::uint16_t kL3 = sizeof(rte_ipv4_hdr);
constexpr std::uint16_t kTcp = sizeof(rte_tcp_hdr);
constexpr std::uint32_t kOfNewFlow = 0x100;
constexpr std::uint32_t kFresh = 2 * kBurst;  ///< buffers that are on their way while a burst is written
constexpr std::size_t kVirtioHeader = 12;     ///< in front of the frame

/// The frame's stream, and kOfNewFlow: kept with it until the ring has taken it.
std::uint32_t& tag_of(rte_mbuf& frame) { return frame.hash.usr; }
bool is_of_new_flow(rte_mbuf& frame) { return (tag_of(frame) & kOfNewFlow) != 0; }

/// Brings a cache line in to be written. The compiler's own prefetch knows only the kind for reading on the machines we
/// build for.
void prefetch_to_write(const std::uint8_t* line) { asm volatile("prefetchw %0" : : "m"(*line)); }

/// Every buffer of the pools has a plain body from here on: only heads are written for each frame.
void write_plain_body(rte_mempool*, void*, void* element, unsigned) {
  auto* const mbuf = static_cast<rte_mbuf*>(element);
  auto* const bytes = static_cast<std::uint8_t*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM;
  const std::size_t room = mbuf->buf_len - RTE_PKTMBUF_HEADROOM;
  if (room > kHead) write_body({bytes + kHead, room - kHead}, kPlainBodyKey, 0);
}

Route announcement_of(const Options& options, std::uint8_t number) {
  Options announced = options;
  announced.pattern = Pattern::kFlood;
  Route route = routes_of(announced).front();
  route.sender = number;
  return route;
}

Options one_flow(const Options& options) {
  Options one = options;
  one.flows = 1;
  return one;
}

}  // namespace

Sender::Sender(const Options& options, const Vm& vm, std::size_t number, Pools& pools)
    : number_{static_cast<std::uint8_t>(number)},
      port_{vm.port()},
      queues_{vm.options().queues},
      tso_{options.tso != 0},
      offload_{options.checksum_offload && options.protocol == Protocol::kTcp},
      full_{options.verify == Verify::kFull},
      new_flow_rate_{options.new_flows},
      hz_{static_cast<double>(rte_get_tsc_hz())},
      heads_{pools.heads.get()},
      bodies_{pools.bodies.get()},
      outboxes_(vm.options().queues) {
  for (const Route& route : routes_of(options)) {
    if (route.sender == number_) streams_.emplace_back(options, route);
  }
  announcement_.emplace(one_flow(options), announcement_of(options, number_));
  if (number == 0) {
    rte_mempool_obj_iter(heads_, write_plain_body, nullptr);
    if (bodies_ != nullptr) rte_mempool_obj_iter(bodies_, write_plain_body, nullptr);
  }
}

Sender::~Sender() {
  end();
  rte_pktmbuf_free_bulk(fresh_.data(), static_cast<unsigned>(fresh_.size()));
}

void Sender::begin(std::uint8_t run) {
  end();
  run_ = run;
  counts_ = {};
  for (Stream& stream : streams_) stream.begin();
}

void Sender::pace(double rate, std::uint64_t now) {
  paced_ = rate > 0;
  if (paced_) pacer_.begin(rate, hz_, now);
  if (new_flow_rate_ > 0) new_flow_pacer_.begin(new_flow_rate_, hz_, now);
}

SenderCounts Sender::counts() const {
  SenderCounts counts = counts_;
  counts.skipped += (paced_ ? pacer_.skipped() : 0) + (new_flow_rate_ > 0 ? new_flow_pacer_.skipped() : 0);
  return counts;
}

void Sender::take_back(rte_mbuf& frame) {
  Stream& stream = streams_[tag_of(frame) & (kOfNewFlow - 1)];
  --stream.sent;
  if (is_of_new_flow(frame)) --stream.sent_new;
  --counts_.sent;
  counts_.sent_bytes -= frame.pkt_len;
  rte_pktmbuf_free(&frame);
}

void Sender::end() {
  for (Outbox& outbox : outboxes_) {
    for (std::uint32_t i = 0; i < outbox.count; ++i) take_back(*outbox.frames[i]);
    outbox.count = 0;
  }
}

std::uint32_t Sender::most_now() const {
  std::uint32_t waiting = 0;
  for (const Outbox& outbox : outboxes_) waiting = std::max(waiting, outbox.count);
  return waiting < kBurst ? kBurst - waiting : 0;
}

Sender::Turn Sender::turn(std::uint64_t now, std::uint32_t room) {
  Turn turn;
  if (streams_.empty()) return turn;
  const unsigned bursts = paced_ ? 1 : kMostBursts;
  for (unsigned i = 0; i < bursts && turn.bursts_refused == 0; ++i) send_burst(i == 0 ? now : rte_rdtsc(), room, turn);
  counts_.bursts += turn.bursts;
  counts_.bursts_refused += turn.bursts_refused;
  return turn;
}

void Sender::send_burst(std::uint64_t now, std::uint32_t& room, Turn& turn) {
  const std::uint32_t most = most_now();
  const std::uint32_t due_new = new_flow_rate_ > 0 ? new_flow_pacer_.due(now, most / 2) : 0;
  const std::uint32_t due = paced_ ? pacer_.due(now, most - due_new) : std::min(most - due_new, room);
  room -= std::min(room, due);
  if (due + due_new > 0) make(due, due_new, now);
  for (std::uint16_t queue = 0; queue < queues_; ++queue) {
    if (outboxes_[queue].count > 0) flush(outboxes_[queue], queue, turn);
  }
  if (fresh_.size() < kFresh) refill();  // if it cannot now, the next burst will see
}

void Sender::make(std::uint32_t due, std::uint32_t due_new, std::uint64_t now) {
  const std::uint32_t all = due + due_new;
  if (all > fresh_.size() && !refill()) {
    counts_.skipped += paced_ ? all : due_new;
    return;
  }
  const std::uint64_t stamp = stamp_of(now);
  std::uint32_t share = 0;
  for (std::uint32_t i = 0; i < all; ++i) {
    share += due_new;  // new flows come evenly between the others
    const bool of_new_flow = share >= all;
    if (of_new_flow) share -= all;
    make_frame(*fresh_[i], next_stream_, of_new_flow, stamp);
    if (++next_stream_ == streams_.size()) next_stream_ = 0;
  }
  fresh_.erase(fresh_.begin(), fresh_.begin() + all);
}

bool Sender::refill() {
  const std::size_t kept = fresh_.size();
  fresh_.resize(kFresh);
  if (rte_pktmbuf_alloc_bulk(heads_, &fresh_[kept], static_cast<unsigned>(kFresh - kept)) != 0) {
    fresh_.resize(kept);
    return false;
  }
  for (std::size_t i = kept; i < fresh_.size(); ++i) {
    const auto* const head = rte_pktmbuf_mtod(fresh_[i], const std::uint8_t*);
    __builtin_prefetch(head - kVirtioHeader);  // the driver writes it only where it is to be another
    prefetch_to_write(head);
  }
  return true;
}

void Sender::make_frame(rte_mbuf& frame, std::size_t stream_number, bool of_new_flow, std::uint64_t stamp) {
  Stream& stream = streams_[stream_number];
  const std::uint32_t flow = of_new_flow ? stream.new_flow() : stream.next_flow();
  const Probe probe{.flow = flow,
                    .number = of_new_flow ? 0 : stream.next_number(flow),
                    .stamp = stamp,
                    .sender = number_,
                    .receiver = stream.route().receiver,
                    .run = run_};
  const FrameWriter& writer = stream.next_writer();
  if (!write(frame, stream, writer, flow, probe.words())) {
    counts_.skipped += paced_;
    return;
  }
  tag_of(frame) = static_cast<std::uint32_t>(stream_number) | (of_new_flow ? kOfNewFlow : 0);
  ++stream.sent;
  stream.sent_new += of_new_flow;
  ++counts_.sent;
  counts_.sent_bytes += writer.length();
  Outbox& outbox = outboxes_[queues_ == 1 ? 0 : flow % queues_];
  outbox.frames[outbox.count++] = &frame;
}

bool Sender::write(rte_mbuf& frame, const Stream& stream, const FrameWriter& writer, std::uint32_t flow,
                   ProbeWords probe) {
  auto* const bytes = rte_pktmbuf_mtod(&frame, std::uint8_t*);
  const std::uint32_t length = writer.length();
  std::uint32_t body_sum = writer.plain_body_sum();
  if (tso_) {
    frame.data_len = kTsoHead;
    frame.pkt_len = kTsoHead;
    if (!add_pieces(frame, length - kTsoHead, full_ ? body_key(probe) : kPlainBodyKey)) {
      rte_pktmbuf_free(&frame);
      return false;
    }
  } else {
    frame.data_len = static_cast<std::uint16_t>(length);
    frame.pkt_len = length;
    if (full_) {
      const std::span<std::uint8_t> body{bytes + kHead, length - kHead};
      write_body(body, body_key(probe), 0);
      body_sum = sum_of(body);
    }
  }
  if (offload_) {
    frame.l2_len = kL2;
    frame.l3_len = kL3;
    frame.l4_len = kTcp;
    frame.tso_segsz = tso_ ? kTsoSegment : 0;
    frame.ol_flags = RTE_MBUF_F_TX_IPV4 | (tso_ ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_TCP_CKSUM);
  }
  writer.write_head(bytes, probe, stream.address_of(flow).words(), body_sum);
  return true;
}

bool Sender::add_pieces(rte_mbuf& head, std::uint32_t length, std::uint64_t key) {
  rte_mbuf* last = &head;
  for (std::uint32_t at = 0; at < length;) {
    rte_mbuf* const piece = rte_pktmbuf_alloc(bodies_);
    if (piece == nullptr) return false;
    const std::uint32_t part = std::min(length - at, kBodyPiece);
    piece->data_len = static_cast<std::uint16_t>(part);
    if (key != kPlainBodyKey) write_body({rte_pktmbuf_mtod(piece, std::uint8_t*), part}, key, at);
    last->next = piece;
    last = piece;
    head.pkt_len += part;
    ++head.nb_segs;
    at += part;
  }
  return true;
}

void Sender::flush(Outbox& outbox, std::uint16_t queue, Turn& turn) {
  const auto count = static_cast<std::uint16_t>(outbox.count);
  const std::uint16_t taken = rte_eth_tx_burst(port_, queue, outbox.frames.data(), count);
  turn.taken += taken;
  ++turn.bursts;
  turn.bursts_refused += taken < count;
  if (paced_) {
    for (std::uint32_t i = taken; i < count; ++i) {
      counts_.refused_new += is_of_new_flow(*outbox.frames[i]);
      take_back(*outbox.frames[i]);
    }
    counts_.refused += count - taken;
    outbox.count = 0;
  } else {
    std::copy(outbox.frames.begin() + taken, outbox.frames.begin() + count, outbox.frames.begin());
    outbox.count = count - taken;
  }
}

void Sender::greet(std::uint64_t now) {
  std::vector<Stream*> all{&*announcement_};
  for (Stream& stream : streams_) all.push_back(&stream);
  for (Stream* const stream : all) {
    rte_mbuf* frame = rte_pktmbuf_alloc(heads_);
    if (frame == nullptr) return;
    const Probe probe{.flow = 0,
                      .number = 0,
                      .stamp = stamp_of(now),
                      .sender = number_,
                      .receiver = stream->route().receiver,
                      .run = kWarmUpRun};
    if (write(*frame, *stream, stream->next_writer(), 0, probe.words()) && rte_eth_tx_burst(port_, 0, &frame, 1) == 0) {
      rte_pktmbuf_free(frame);
    }
  }
}

}  // namespace sluice::vmgen
