// PmdSet: the PMDs of a switch with their threads, and how they are told of ports.
//
// Control thread. What PMDs are told is a Layout: which queues exist and who polls which. A change of it reaches the
// PMDs one by one, so it is brought about in steps between which no two PMDs can disagree about who owns a queue.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/keeper/shared_state.hpp"
#include "control/switch/port_tallies.hpp"
#include "datapath/pmd.hpp"
#include "datapath/pmd_thread.hpp"
#include "datapath/tx_lock.hpp"
#include "datapath/view.hpp"
#include "flowtable/flow_key.hpp"
#include "flowtable/mapping.hpp"
#include "ports/counters.hpp"
#include "ports/queue.hpp"

namespace sluice::control {

/// The queues of a port, as the PMDs are to know them.
struct PortQueues {
  flowtable::PortId id;
  std::string name;
  int numa_node = -1;
  std::uint32_t max_frame = 0;  ///< bytes
  std::vector<ports::RxQueue> rx{};
  std::vector<ports::TxQueue> tx{};
  /// As many places as for so many Rx queues are kept for it, whether they are there or not: of a device that is closed
  /// for a while, so that no other port's queues go to other PMDs meanwhile.
  std::size_t rx_places = 0;
};

class PmdSet {
 public:
  struct Member {
    unsigned core;
    int numa_node;
    std::unique_ptr<datapath::Pmd> pmd;
    std::unique_ptr<datapath::PmdThread> thread;  ///< null until make_threads()
  };
  /// A queue, as one PMD has it.
  struct QueueId {
    std::size_t member;
    flowtable::PortId port;
    std::uint16_t queue;

    auto operator<=>(const QueueId&) const = default;
  };
  struct Queue {
    QueueId id;
    const datapath::QueueCounters* counters;
  };

  /// The PMDs count in `tallies`, and show in `heartbeat` that they live, both of which outlive them; without any,
  /// nobody else sees it.
  [[nodiscard]] static Expected<PmdSet> create(const PmdConfig& config, datapath::PmdOptions options,
                                               PortTallies* tallies = nullptr, Heartbeat* heartbeat = nullptr);
  PmdSet(PmdSet&&) = default;
  ~PmdSet();

  /// They rest until start_threads().
  void make_threads();
  void start_threads();
  /// Each at the end of a loop; until start_threads().
  void rest_threads();
  void end_threads();

  /// Makes the PMDs use these ports and no others. When it returns, they do.
  void use(const std::vector<PortQueues>& ports);
  /// What was counted for the queues of a port that is in use no more goes, so that its id begins anew.
  void forget(flowtable::PortId port);
  /// Returns when every PMD has finished a loop, or is outside of one. It waits for as long as that takes, and calls
  /// what when_waiting() was given now and then.
  void wait() const;
  void when_waiting(std::function<void()> call) { waiting_ = std::move(call); }
  /// Signals PMDs whose loop has not advanced since the last call: a peer may hold one up in its eventfd write.
  void interrupt_stalled();

  [[nodiscard]] const std::vector<Member>& members() const { return members_; }
  /// That they all ring for the slow path; it stays where it is as long as the set.
  [[nodiscard]] datapath::Doorbell& doorbell() const { return *doorbell_; }
  /// Who polls what now.
  [[nodiscard]] std::vector<Queue> queues() const;
  [[nodiscard]] PortTallies& tallies() { return *tallies_; }
  [[nodiscard]] const PortTallies& tallies() const { return *tallies_; }

 private:
  struct Polled {
    ports::RxQueue queue;
    flowtable::PortId port;
    std::uint16_t queue_id;
    std::size_t member;
  };
  /// What all PMDs together know.
  struct Layout {
    std::vector<Polled> rx;
    std::vector<PortQueues> ports;
  };
  enum class Locks : std::uint8_t { where_shared, everywhere };

  explicit PmdSet(const PmdConfig& config) : config_(config) {}
  [[nodiscard]] std::set<flowtable::PortId> moving_to(const std::vector<Polled>& next) const;
  void wait_for_decisions(const std::set<flowtable::PortId>& taken) const;
  [[nodiscard]] std::vector<Polled> assign(const std::vector<PortQueues>& ports) const;
  [[nodiscard]] std::optional<std::size_t> pinned(const PortQueues& port, std::size_t queue) const;
  void show_thread(std::size_t member) const;
  void publish(const std::vector<Polled>& rx, const std::vector<PortQueues>& ports, Locks locks);
  [[nodiscard]] std::unique_ptr<const datapath::PortView> view_for(std::size_t member, const std::vector<Polled>& rx,
                                                                   const std::vector<PortQueues>& ports, Locks locks);
  datapath::TxLock* lock_of(flowtable::PortId port);
  datapath::QueueCounters* counters_of(const QueueId& queue);

  PmdConfig config_;
  flowtable::Mapping own_tallies_;
  PortTallies* tallies_ = nullptr;
  Heartbeat* heartbeat_ = nullptr;
  std::unique_ptr<datapath::Doorbell> doorbell_ = std::make_unique<datapath::Doorbell>();
  std::vector<Member> members_;
  Layout current_;
  /// One a port, for all of its queues: while layouts differ, a queue may be known by two numbers.
  std::map<flowtable::PortId, std::unique_ptr<datapath::TxLock>> locks_;
  std::map<QueueId, std::unique_ptr<datapath::QueueCounters>> queue_counters_;
  std::vector<std::uint64_t> last_loops_;
  std::function<void()> waiting_;
};

}  // namespace sluice::control
