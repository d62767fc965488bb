// Switch: a running switch, whole. What `sluice run` starts and RPC asks.
//
// All of it is for the control thread. What the slow path owns (FDB, rules, flows) is asked of the slow path, and the
// answer comes back as a call on the control thread's event loop: nothing here waits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/urgency.hpp"
#include "ports/drop_reason.hpp"
#include "ports/event_loop.hpp"
#include "ports/port.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

class KeeperLink;

struct PortReport {
  std::uint16_t id;
  PortConfig config;
  ports::PortStatus status;
  std::uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
  std::uint64_t rx_dropped, tx_dropped;  ///< sums over reasons, by whether the reason is one of tx_
};

/// One count that is not zero.
struct DropReport {
  std::string port;
  ports::DropReason reason;
  std::uint64_t packets;
};

struct PmdReport {
  struct Queue {
    std::string port;
    std::uint16_t queue;
    std::uint64_t packets, batches, busy_cycles;
  };
  unsigned core;
  int numa_node;
  std::uint64_t busy_cycles, idle_cycles, packets, batches, hits, misses, queued, upcalls;
  std::size_t flows, flow_limit;
  std::vector<Queue> queues;
};

struct FlowReport {
  unsigned core;
  std::string key;  ///< "in_port=vm1,tcp,nw_src=10.0.0.1,…", the fields of the mask only
  std::uint64_t packets, bytes;
  std::optional<double> used_seconds;  ///< since the last packet; nothing if there was none
  std::string actions;                 ///< "output:vm2", "drop (rule)"
};

struct FdbReport {
  std::uint16_t vlan;
  std::string mac;
  std::string port;
  double age_seconds;
};

struct RuleReport {
  std::string text;
  std::uint64_t packets, bytes;
};

struct MemoryReport {
  std::uint64_t resident_bytes;
  std::size_t mbufs, mbufs_free, mbuf_bytes;
  std::size_t flow_table_bytes;  ///< reserved, all PMDs
  bool hugepages;
};

struct StatusReport {
  std::string version;
  int pid;
  int keeper_pid;          ///< 0: there is none
  std::uint64_t restarts;  ///< how often another worker has followed, for whatever reason
  double uptime_seconds;   ///< of this worker
  std::string config;
  std::string dpdk;          ///< its version
  std::string instructions;  ///< the instruction set the fast path picked
  std::size_t ports, ports_up, pmds, flows, fdb_entries, rules;
  std::uint64_t rx_packets, tx_packets, drops;
  std::size_t upcalls_waiting;
};

class Switch {
 public:
  template <typename T>
  using Then = std::function<void(T)>;

  /// Makes everything that can be made while another worker still has the ports: EAL, memory, PMDs, rules. `loop` and
  /// `link` outlive the switch.
  [[nodiscard]] static Expected<std::unique_ptr<Switch>> prepare(const Config& config, ports::EventLoop& loop,
                                                                 KeeperLink& link);
  /// While another worker has the ports, now and then: follows what has become of guests since, so that none of them
  /// has to wait for it in take_up().
  void prepare_again();
  /// The same, of what list_flows() of that worker gave, once: its flows need no packet to be decided, but for those
  /// that cannot be without one, or all of them if there is no such list. An error: rules or ports were changed
  /// meanwhile, and cannot be had here; there is nothing to do but to destroy the switch.
  [[nodiscard]] Expected<void> adopt_flows(ports::UniqueFd list);
  /// Takes up the guests' ports, with all that the worker before us has learnt, counted and been told, and starts to
  /// work. After an error, here and below, there is nothing to do but to destroy the switch; after one in here the
  /// worker before us can go on (KeeperLink::works()).
  [[nodiscard]] Expected<void> take_up();
  /// Whether there are ports that only one process can have.
  [[nodiscard]] bool has_devices() const;
  /// What guests do not wait for: the ports that are devices, and what is looked after from time to time. Without
  /// `all`, what cannot be had is no error: it is looked for again, and its port has no link until it is found.
  [[nodiscard]] Expected<void> open_devices(bool all);
  /// Writes down the flows that there are, for another worker that is to take over; nothing if that cannot be done.
  void list_flows(const Then<ports::UniqueFd>& then);
  /// For another worker to open them; guests are served meanwhile. The event loop must not run until unpark().
  void close_devices();
  /// Stops between two bursts, with no packet left in here: what guests send from now on waits in their rings. After
  /// close_devices().
  void park();
  void unpark();
  /// The slow path's thread is as said; take_up() starts it as the thread is that calls, and park() makes it urgent.
  void schedule_slow_path(const Scheduling& scheduling);
  /// Once no worker of another version can follow: ports that the one before had and this one has not are gone for
  /// good, and so is what was changed at run time and changes nothing of this configuration.
  void abandon_others();
  /// Where clients connect: no port that is added can be there.
  void reserve_control_socket(const std::string& path);
  /// Shows the keeper that the control thread works, and how far the PMDs are.
  void beat() const;

  ~Switch();
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

  void status(Then<StatusReport> then);
  [[nodiscard]] std::vector<PortReport> ports() const;
  [[nodiscard]] std::vector<DropReport> drops() const;
  [[nodiscard]] std::vector<PmdReport> pmds() const;
  [[nodiscard]] MemoryReport memory() const;
  /// At most `limit` flows, and how many there are.
  void flows(std::size_t limit, Then<std::pair<std::vector<FlowReport>, std::size_t>> then);
  void fdb(Then<std::vector<FdbReport>> then);
  void rules(Then<std::vector<RuleReport>> then);

  /// Counters of ports, drops, PMDs and queues are shown from zero on again.
  void clear_stats();
  /// `port` empty: all. Returns how many entries went.
  void flush_fdb(const std::string& port, Then<Expected<std::size_t>> then);
  /// What changes rules calls `then` when the change is in force: packets received from then on obey it.
  void add_rule(const std::string& text, Then<Expected<void>> then);
  /// Deletes the rules that are the same match and priority as `text`; how many. "all" deletes all.
  void delete_rules(const std::string& text, Then<Expected<std::size_t>> then);
  void add_port(const PortConfig& config, Then<Expected<void>> then);
  void delete_port(const std::string& name, Then<Expected<void>> then);
  /// What would happen to a packet, in the syntax of a rule's match, step by step; a line each.
  void trace(const std::string& packet, Then<Expected<std::vector<std::string>>> then);
  [[nodiscard]] Expected<void> set_log_level(const std::string& level);

 private:
  struct Impl;
  explicit Switch(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::control
