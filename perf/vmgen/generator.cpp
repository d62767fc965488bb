#include "perf/vmgen/generator.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <string>

#include <rte_cycles.h>

namespace sluice::vmgen {
namespace {

constexpr double kGreetEach = 0.01;  ///< seconds
constexpr double kLost = 0.01;  ///< seconds without any frame, after which a window takes those on their way for lost
constexpr double kMostDrain = 10;  ///< seconds, should frames never end
constexpr std::uint32_t kAnyRoom = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

}  // namespace

double monotonic_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Counts& Counts::operator+=(const Counts& other) {
  sender.sent += other.sender.sent;
  sender.sent_bytes += other.sender.sent_bytes;
  sender.refused += other.sender.refused;
  sender.refused_new += other.sender.refused_new;
  sender.skipped += other.sender.skipped;
  sender.bursts += other.sender.bursts;
  sender.bursts_refused += other.sender.bursts_refused;
  receiver.received += other.receiver.received;
  receiver.received_bytes += other.receiver.received_bytes;
  receiver.duplicated += other.receiver.duplicated;
  receiver.reordered += other.receiver.reordered;
  receiver.corrupted += other.receiver.corrupted;
  receiver.foreign += other.receiver.foreign;
  receiver.new_received += other.receiver.new_received;
  receiver.new_duplicated += other.receiver.new_duplicated;
  receiver.polls += other.receiver.polls;
  receiver.polls_empty += other.receiver.polls_empty;
  expected += other.expected;
  new_sent += other.new_sent;
  new_expected += other.new_expected;
  return *this;
}

Generator::Generator(const Options& options, std::vector<Vm>& vms, Pools& pools, const std::atomic<bool>& stop)
    : options_{options}, vms_{vms}, stop_{stop}, hz_{static_cast<double>(rte_get_tsc_hz())} {
  for (std::size_t i = 0; i < vms.size(); ++i) {
    senders_.emplace_back(options, vms[i], i, pools);
    receivers_.emplace_back(options, vms[i], i);
    windows_.emplace_back(options.window, static_cast<std::uint64_t>(kLost * hz_));
  }
  for (const Sender& sender : senders_) {
    for (const Stream& stream : sender.streams()) streams_.push_back(&stream);
  }
}

Expected<void> Generator::greet(double seconds) {
  const std::uint64_t begin = rte_rdtsc();
  const auto deadline = begin + static_cast<std::uint64_t>(seconds * hz_);
  std::uint64_t next = begin;
  for (std::uint64_t now = begin; now < deadline && !stop_; now = rte_rdtsc()) {
    between_turns();
    if (now >= next) {
      for (Sender& sender : senders_) sender.greet(now);
      next = now + static_cast<std::uint64_t>(kGreetEach * hz_);
    }
    bool all = true;
    for (std::size_t i = 0; i < receivers_.size(); ++i) {
      receivers_[i].poll();
      all = all && receivers_[i].heard_all() && vms_[i].link_up();
    }
    if (all) return {};
    nap();
  }
  no_turns();
  for (std::size_t i = 0; i < receivers_.size(); ++i) {
    const std::string& name = options_.vms[i].name;
    if (!vms_[i].link_up()) return tl::make_unexpected(name + ": its link is down");
    if (!receivers_[i].heard_all()) {
      return tl::make_unexpected(name + " has received nothing from " + receivers_[i].not_heard(options_));
    }
  }
  return tl::make_unexpected("stopped");
}

Generator::Moved Generator::turn(std::uint64_t now) {
  Moved moved;
  for (std::size_t i = 0; i < senders_.size(); ++i) {
    moved.frames += receivers_[i].poll();
    const std::uint32_t room = options_.window == 0 ? kAnyRoom : room_for(i, now);
    const Sender::Turn sent = senders_[i].turn(now, room);
    moved.frames += sent.taken;
    moved.refused |= sent.bursts_refused > 0;
    moved.held |= room == 0;
  }
  return moved;
}

std::uint32_t Generator::room_for(std::size_t sender, std::uint64_t now) {
  std::uint64_t came = 0;
  for (const Receiver& receiver : receivers_) came += receiver.received_from(sender);
  return windows_[sender].room(senders_[sender].counts().sent, came, now);
}

RunResult Generator::run(const Plan& plan) {
  run_ = run_ == std::numeric_limits<std::uint8_t>::max() ? std::uint8_t{kWarmUpRun + 1}
                                                          : static_cast<std::uint8_t>(run_ + 1);
  RunResult result;
  result.rate = plan.rate;
  // The tables are cleared before the clock starts.
  for (Sender& sender : senders_) sender.begin(run_);
  for (Receiver& receiver : receivers_) receiver.begin(run_, streams_);
  result.clock = monotonic_seconds();
  if (plan.started) plan.started(result.clock);
  result.began = rte_rdtsc();
  for (Sender& sender : senders_) sender.pace(plan.rate, result.began);
  for (Receiver& receiver : receivers_) receiver.senders_began(result.began);
  for (Window& window : windows_) window.begin(result.began);

  const std::uint64_t end = plan.seconds > 0 ? result.began + static_cast<std::uint64_t>(plan.seconds * hz_) : kNever;
  send_until(end, plan, result);

  const std::uint64_t ended = rte_rdtsc();
  result.seconds = static_cast<double>(ended - result.began) / hz_;
  result.effort.cycles = ended - result.began;
  for (Sender& sender : senders_) sender.end();
  for (Receiver& receiver : receivers_) receiver.senders_ended(ended);
  if (plan.ended) plan.ended(monotonic_seconds());
  drain();
  for (std::size_t i = 0; i < vms_.size(); ++i) {
    result.vms.push_back({.counts = counts_of(i),
                          .latency = receivers_[i].latency(),
                          .gap = receivers_[i].longest_gap(),
                          .expects_any = receivers_[i].expects_any(),
                          .link_up = vms_[i].link_up()});
  }
  return result;
}

void Generator::send_until(std::uint64_t end, const Plan& plan, RunResult& result) {
  const auto interval = static_cast<std::uint64_t>(options_.interval_ms * hz_ / 1000);
  std::uint64_t next_glimpse = plan.interval && interval > 0 ? result.began + interval : kNever;
  Effort& effort = result.effort;
  std::uint64_t now = rte_rdtsc();
  while (now < end && !stop_.load(std::memory_order_relaxed)) {
    between_turns();
    const Moved moved = turn(now);
    if (now >= next_glimpse) {
      glimpse(plan, result, now);
      next_glimpse += interval;
    }
    const std::uint64_t then = rte_rdtsc();
    if (moved.frames > 0) {
      effort.busy_cycles += then - now;
      effort.frames += moved.frames;
    }
    if (moved.refused) effort.full_cycles += then - now;
    if (moved.held) effort.held_cycles += then - now;
    effort.longest_turn = std::max(effort.longest_turn, then - now);
    now = moved.frames > 0 ? then : nap();
  }
}

std::uint64_t Generator::nap() const {
  if (options_.nap_us > 0) usleep(options_.nap_us);
  return rte_rdtsc();
}

void Generator::drain() {
  const auto quiet = static_cast<std::uint64_t>(options_.drain_ms * hz_ / 1000);
  const std::uint64_t begin = rte_rdtsc();
  const auto most = begin + static_cast<std::uint64_t>(kMostDrain * hz_);
  std::uint64_t last = begin;
  for (std::uint64_t now = begin; now - last < quiet && now < most; now = rte_rdtsc()) {
    between_turns();
    for (Receiver& receiver : receivers_) {
      if (receiver.poll() > 0) last = now;
    }
    nap();
  }
  no_turns();
}

Counts Generator::counts_of(std::size_t number) const {
  Counts counts{.sender = senders_[number].counts(), .receiver = receivers_[number].counts()};
  for (const Stream& stream : senders_[number].streams()) counts.new_sent += stream.sent_new;
  for (const Stream* stream : streams_) {
    if (!arrives_at(stream->route(), number)) continue;
    counts.expected += stream->sent;
    counts.new_expected += stream->sent_new;
  }
  return counts;
}

void Generator::glimpse(const Plan& plan, const RunResult& result, std::uint64_t now) {
  Glimpse seen{
      .clock = monotonic_seconds(), .seconds = static_cast<double>(now - result.began) / hz_, .began = result.began};
  for (std::size_t i = 0; i < vms_.size(); ++i) {
    seen.vms.push_back(counts_of(i));
    seen.gaps.push_back(receivers_[i].take_interval_gap(now));
    seen.frames_by_queue.push_back(receivers_[i].take_interval_frames());
    seen.links.push_back(vms_[i].link_up());
  }
  plan.interval(seen);
}

}  // namespace sluice::vmgen
