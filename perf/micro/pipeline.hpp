// Pipeline: a PMD and the slow path in one thread, with two guests whose drivers cost nothing, so that the whole way of
// a packet can be measured: from one guest's ring through parse, lookup and execute to the other's, and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/rules/parse.hpp"
#include "control/slowpath/slow_path.hpp"
#include "datapath/pmd.hpp"
#include "perf/micro/fake_guest.hpp"
#include "ports/eal.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::perf {

struct PipelineOptions {
  RingKind ring{};
  std::uint32_t size = 64;  ///< bytes of a frame without its FCS
  std::uint32_t flows = 1;  ///< each way, at most FakeRing::kSize; told apart by their IPv4 source
  std::string rule = {};    ///< empty: none
};

class Pipeline {
 public:
  static constexpr unsigned kBurst = ports::kBurstSize;

  explicit Pipeline(const PipelineOptions& options) : guests_(make_guests(options.ring)) {
    pmd_ = std::move(*datapath::Pmd::create({.flow_limit = 4096, .secret = {{1, 2}}, .pool = pool(), .pending = {}}));
    slow_ = std::make_unique<control::SlowPath>(control::SlowPathOptions{}, std::vector{control::link_to(*pmd_)});
    for (flowtable::PortId port = 0; port < 2; ++port) slow_->set_port(port, name(port), {});
    if (!options.rule.empty()) slow_->add_rule(rule(options.rule));
    publish();
    for (unsigned port = 0; port < 2; ++port) {
      for (std::uint32_t i = 0; i < FakeRing::kSize; ++i)
        guests_[port]->tx.set_frame(i, frame(options, port, i % options.flows));
    }
    // Addresses are learnt and flows installed: twice, since the first frame each way is flooded.
    for (std::uint32_t i = 0; i < 2 * FakeRing::kSize / kBurst; ++i) {
      before();
      settle();
      after();
    }
  }
  ~Pipeline() {
    slow_.reset();
    static_cast<void>(pmd_->publish_ports(nullptr));
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Each guest sends a burst. Nothing of it is the switch's work.
  void before() {
    for (auto& guest : guests_) guest->tx.make_available(kBurst);
  }
  /// The switch's work: one loop of the PMD, in which kPackets packets go from ring to ring.
  void forward() { pmd_->run_once(now_); }
  static constexpr unsigned kPackets = 2 * kBurst;
  /// Each guest has taken what it received, and says how much came in all since the start.
  void after() {
    for (unsigned port = 0; port < 2; ++port) {
      const std::uint64_t received = counters_[port].tx_packets.get();
      guests_[port]->rx.make_available(static_cast<std::uint32_t>(received - std::exchange(received_[port], received)));
    }
    now_ += 10'000;
  }
  [[nodiscard]] std::uint64_t received() const { return received_[0] + received_[1]; }

 private:
  using Guests = std::array<std::unique_ptr<FakeGuest>, 2>;
  static Guests make_guests(RingKind ring) {
    return {std::make_unique<FakeGuest>(ring), std::make_unique<FakeGuest>(ring)};
  }
  static std::string name(flowtable::PortId port) { return "vm" + std::to_string(port + 1); }

  static rte_mempool* pool() {
    static const auto eal =
        ports::Eal::start({.megabytes = 64, .log = [](unsigned, std::string_view line) {
                             std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
                           }});
    if (!eal) {
      std::fprintf(stderr, "%s\n", eal.error().c_str());
      std::exit(1);
    }
    static const auto made = ports::make_mbuf_pool("pipeline", 1024, -1);
    return made->get();
  }

  [[nodiscard]] control::Rule rule(const std::string& text) const {
    auto parsed = control::parse_rule(text, slow_->port_names());
    if (!parsed) {
      std::fprintf(stderr, "%s\n", text.c_str());
      std::exit(1);
    }
    return *parsed;
  }

  void publish() {
    auto view = std::make_unique<datapath::PortView>();
    view->polled_ports = 2;
    for (flowtable::PortId port = 0; port < 2; ++port) {
      view->rx.push_back({ports::RxQueue(guests_[port]->tx.queue), port, 0, &queue_counters_[port]});
      view->tx.push_back({{ports::TxQueue(guests_[port]->rx.queue)}, nullptr, 1522});
      view->counters.push_back(&counters_[port]);
    }
    static_cast<void>(pmd_->publish_ports(std::move(view)));
  }

  void settle() {
    for (bool worked = true; worked;) {
      worked = pmd_->run_once(now_);
      worked |= slow_->run_once(now_);
    }
  }

  /// UDP, from this port's address to the other's.
  static std::vector<std::uint8_t> frame(const PipelineOptions& options, unsigned port, std::uint32_t flow) {
    std::vector<std::uint8_t> f{
        2, 0, 0, 0, 0, static_cast<std::uint8_t>(2 - port), 2, 0, 0, 0, 0, static_cast<std::uint8_t>(1 + port), 8, 0};
    const auto length = static_cast<std::uint16_t>(options.size - 14);
    const auto high = [](std::uint32_t n) { return static_cast<std::uint8_t>(n >> 8U); };
    const auto low = [](std::uint32_t n) { return static_cast<std::uint8_t>(n); };
    f.insert(f.end(), {0x45, 0,  high(length), low(length), 0,         0,  0x40,          0, 64, 17, 0,
                       0,    10, low(port),    high(flow),  low(flow), 10, low(1 - port), 0, 1});
    f.insert(f.end(), {0x10, 0, 0x20, 0, high(length - 20U), low(length - 20U), 0, 0});
    f.resize(options.size, 0x5a);
    return f;
  }

  Guests guests_;
  std::uint64_t now_ = 1'000'000'000;
  std::array<ports::PortCounters, 2> counters_;
  std::array<datapath::QueueCounters, 2> queue_counters_;
  std::array<std::uint64_t, 2> received_{};
  std::unique_ptr<datapath::Pmd> pmd_;
  std::unique_ptr<control::SlowPath> slow_;
};

}  // namespace sluice::perf
