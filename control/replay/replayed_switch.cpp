#include "control/replay/replayed_switch.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/rules/judge.hpp"
#include "ports/frame.hpp"

namespace sluice::control {
namespace {

/// What the switch's clock says when the first frame comes. Not zero, which stands for "never" in places.
constexpr std::uint64_t kClockStart = 1'000'000'000;
/// Any, but always the same: the tables of two runs are then alike.
constexpr std::uint64_t kSecret = 0x736c756963650001;
/// Buffers: some for frames on their way, and for each port the longest frame.
constexpr unsigned kMbufs = 4096;
constexpr unsigned kMbufsAPort = ports::kMaxFrameSize / 2048 + 2;
constexpr std::uint32_t kMegabytesAThousandMbufs = 4;

flowtable::PortId id_of(std::size_t port) { return static_cast<flowtable::PortId>(port + 1); }

}  // namespace

Expected<std::unique_ptr<ReplayedSwitch>> ReplayedSwitch::start(const Config& config) {
  if (config.ports.size() > RingPorts::kMostPorts) {
    return tl::unexpected(Error{fmt::format("{}: {} ports, a replay has at most {}", config.source, config.ports.size(),
                                            RingPorts::kMostPorts)});
  }
  const auto mbufs = kMbufs + static_cast<unsigned>(config.ports.size()) * kMbufsAPort;
  ports::EalOptions options;
  options.megabytes = std::max(config.memory.megabytes, 64 + mbufs / 1000 * kMegabytesAThousandMbufs);
  auto eal = ports::Eal::start(options);
  if (!eal) return tl::unexpected(Error{eal.error()});
  std::unique_ptr<ReplayedSwitch> replayed(new ReplayedSwitch(*std::move(eal)));
  auto pool = ports::make_mbuf_pool("replay", mbufs, -1);
  if (!pool) return tl::unexpected(Error{pool.error()});
  replayed->pool_ = *std::move(pool);
  if (const auto built = replayed->build(config); !built) return tl::unexpected(built.error());
  return replayed;
}

ReplayedSwitch::~ReplayedSwitch() {
  slow_path_.reset();
  pmds_.reset();
}

Expected<void> ReplayedSwitch::build(const Config& config) {
  auto ring_ports = RingPorts::create(config.ports.size(), pool_.get());
  if (!ring_ports) return tl::unexpected(ring_ports.error());
  ports_ = std::make_unique<RingPorts>(*std::move(ring_ports));

  // One PMD, and no thread: which of several would poll a port makes no difference to a frame.
  datapath::PmdOptions options;
  options.flow_limit = Sweep::capacity_for(config.flows.limit);
  options.secret = {{kSecret, ~kSecret}};
  options.pool = pool_.get();
  PmdConfig one = config.pmd;
  one.cores.resize(1);
  one.pinned.clear();
  auto pmds = PmdSet::create(one, options);
  if (!pmds) return tl::unexpected(pmds.error());
  pmds_ = std::make_unique<PmdSet>(*std::move(pmds));
  slow_path_ = std::make_unique<SlowPath>(SlowPathOptions{config.bridge, config.flows, kSecret},
                                          std::vector<PmdLink>{link_to(pmd())});

  std::vector<PortQueues> queues;
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const PortConfig& port = config.ports[i];
    slow_path_->set_port(id_of(i), port.name, port.vlan);
    queues.push_back({.id = id_of(i),
                      .name = port.name,
                      .max_frame = port.mtu + ports::kFrameOverhead,
                      .rx = {ports_->rx_queue(i)},
                      .tx = {ports_->tx_queue(i)}});
  }
  if (auto added = add_rules(config); !added) return added;
  pmds_->use(queues);
  now_ns_ = kClockStart;
  settle();
  return {};
}

Expected<void> ReplayedSwitch::add_rules(const Config& config) {
  auto rules = judge_rules(config.rules, slow_path_->port_names());
  if (!rules) return tl::unexpected(Error{fmt::format("{}", fmt::join(rules.error(), "\n"))});
  for (Rule& rule : *rules) slow_path_->add_rule(std::move(rule));
  return {};
}

/// Goes on until neither has anything to do.
void ReplayedSwitch::settle() {
  bool worked = true;
  while (worked) {
    worked = slow_path_->run_once(now_ns_);
    worked |= pmd().run_once(now_ns_);
  }
}

/// What time alone brings about between two frames happens when it is due, not when the next frame comes.
void ReplayedSwitch::pass_time(std::uint64_t now_ns) {
  while (true) {
    const auto due = slow_path_->next_deadline();
    if (!due || *due > now_ns) break;
    now_ns_ = std::max(now_ns_, *due);
    settle();
    // A deadline that stays has had its turn.
    if (slow_path_->next_deadline() == due) break;
  }
  now_ns_ = now_ns;
}

bool ReplayedSwitch::step(CaptureTime time, std::size_t port, std::span<const std::uint8_t> frame,
                          const RingPorts::Taker& out) {
  if (first_time_ < 0) first_time_ = time;
  pass_time(kClockStart + static_cast<std::uint64_t>(time - first_time_));
  if (!ports_->put(port, frame)) return false;
  pmd().run_once(now_ns_);
  // A frame whose flow is there leaves nothing to do for the slow path.
  if (!pmd().upcalls().empty()) settle();
  ports_->take(out);
  return true;
}

std::uint64_t ReplayedSwitch::count(std::size_t port, ports::Counter ports::PortCounters::*counter) const {
  return pmds_->tallies().sum(id_of(port), counter);
}

std::uint64_t ReplayedSwitch::dropped(std::size_t port, ports::DropReason reason) const {
  return pmds_->tallies().dropped(id_of(port), reason);
}

const datapath::PmdCounters& ReplayedSwitch::pmd_counters() const { return pmd().counters(); }

}  // namespace sluice::control
