// ReplayedSwitch: the real datapath and the real slow path, one step at a time, under a clock that is given.
//
// A step is: let happen what was due before, put one frame in, and go on until nobody has anything more to do. So each
// frame meets the switch as all frames before have left it, whatever machine this runs on.
// One thread does all, that which started EAL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/replay/captured_frame.hpp"
#include "control/replay/ring_ports.hpp"
#include "control/slowpath/slow_path.hpp"
#include "control/switch/pmd_set.hpp"
#include "ports/eal.hpp"
#include "ports/mbuf_frame.hpp"

namespace sluice::control {

class ReplayedSwitch {
 public:
  /// Starts DPDK; once a process.
  [[nodiscard]] static Expected<std::unique_ptr<ReplayedSwitch>> start(const Config& config);
  ~ReplayedSwitch();
  ReplayedSwitch(const ReplayedSwitch&) = delete;
  ReplayedSwitch& operator=(const ReplayedSwitch&) = delete;

  /// A frame arrives at a port (its place in the configuration); `out` is called with each that leaves because of it.
  /// `time` never goes back. False if the frame could not be put in for want of buffers.
  [[nodiscard]] bool step(CaptureTime time, std::size_t port, std::span<const std::uint8_t> frame,
                          const RingPorts::Taker& out);

  [[nodiscard]] std::uint64_t count(std::size_t port, ports::Counter ports::PortCounters::*counter) const;
  [[nodiscard]] std::uint64_t dropped(std::size_t port, ports::DropReason reason) const;
  [[nodiscard]] const datapath::PmdCounters& pmd_counters() const;
  [[nodiscard]] std::size_t flows() const { return slow_path_->flow_count(); }
  [[nodiscard]] std::size_t fdb_entries() const { return slow_path_->fdb_size(); }

 private:
  explicit ReplayedSwitch(ports::Eal eal) : eal_(std::move(eal)) {}
  [[nodiscard]] Expected<void> build(const Config& config);
  [[nodiscard]] Expected<void> add_rules(const Config& config);
  void pass_time(std::uint64_t now_ns);
  void settle();
  [[nodiscard]] datapath::Pmd& pmd() const { return *pmds_->members().front().pmd; }

  // In the order in which they depend on each other.
  ports::Eal eal_;
  ports::MbufPool pool_;
  std::unique_ptr<RingPorts> ports_;
  std::unique_ptr<PmdSet> pmds_;
  std::unique_ptr<SlowPath> slow_path_;
  std::uint64_t now_ns_ = 0;
  CaptureTime first_time_ = -1;
};

}  // namespace sluice::control
