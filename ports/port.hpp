// Port: one way in and out of the switch, as the control thread sees it. PMDs see its queues only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ports/queue.hpp"

namespace sluice::ports {

enum class Severity : std::uint8_t { debug, info, warning, error };

/// What ports need of the switch around them. Called on the control thread.
struct PortHost {
  class EventLoop* loop = nullptr;
  /// Returns when every PMD has finished a loop, or is outside of one: what was taken back before is then no longer in
  /// use.
  std::function<void()> wait_for_pmds;
  /// One line for the log.
  std::function<void(Severity, const std::string&)> log;
};

/// What `show ports` says of a port beyond its counters.
struct PortStatus {
  bool link_up = false;
  std::string state;                                         ///< one or two words: "connected", "listening", ...
  std::vector<std::pair<std::string, std::string>> details;  ///< name and value, in the order to be shown
};

class Port {
 public:
  virtual ~Port() = default;
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // A port that can be followed by a successor's in another process (ports/vhost/estate.hpp) is made in two steps.
  /// Before that, and while another process has the port: makes itself ready anew for what it has become.
  virtual void prepare_again() {}
  /// Takes itself up: has had nothing to do with anybody before. The PMDs do not poll it yet.
  virtual void activate() {}
  /// After activate(), when the PMDs poll it: tells the guest of what it may not have heard of yet. May take a moment,
  /// for which nobody waits.
  virtual void wake_guest() {}
  /// For a successor: touches nothing any more from here on. PMDs must have stopped.
  virtual void leave() {}
  /// There will be no successor: goes on.
  virtual void stay() {}

  /// The queues that are there now. A PMD polls each Rx queue; it transmits to one of the Tx queues.
  [[nodiscard]] virtual std::vector<RxQueue> rx_queues() = 0;
  [[nodiscard]] virtual std::vector<TxQueue> tx_queues() = 0;
  [[nodiscard]] virtual PortStatus status() const = 0;
  /// The NUMA node of the device or of the guest's memory; -1 if unknown.
  [[nodiscard]] virtual int numa_node() const { return -1; }

  /// The switch sets this to learn that the lists above have changed. A queue that left them may be in use until
  /// every PMD has been given the new lists and has finished a loop.
  std::function<void()> queues_changed;
  /// The guest announces a MAC address (VHOST_USER_SEND_RARP): the switch is to learn and spread that it is here.
  std::function<void(const std::uint8_t (&mac)[6])> announced;
};

}  // namespace sluice::ports
