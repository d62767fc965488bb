// Switch::Impl: what a running switch is made of. Control thread, but for what is posted to the slow path.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/keeper/keeper_link.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "control/slowpath/slow_path_thread.hpp"
#include "control/switch.hpp"
#include "control/switch/effective_config.hpp"
#include "control/switch/pmd_set.hpp"
#include "control/switch/port_set.hpp"
#include "control/switch/run_time_changes.hpp"
#include "ports/eal.hpp"
#include "ports/mbuf_frame.hpp"
#include "ports/port_pools.hpp"

namespace sluice::control {

/// What has been counted for PMDs when the counters were last cleared.
struct ClearedPmd {
  std::uint64_t busy_cycles = 0, idle_cycles = 0, packets = 0, batches = 0, hits = 0, misses = 0, queued = 0,
                upcalls = 0;
};
struct ClearedQueue {
  std::uint64_t packets = 0, batches = 0, busy_cycles = 0;
};

struct Switch::Impl {
  Impl(const Config& config, ports::EventLoop& loop, KeeperLink& link, ports::Eal eal, ports::MbufPool pool,
       PmdSet pmds);
  ~Impl();

  void beat() const;
  [[nodiscard]] ports::PortStatus status_of(const SwitchPort& port) const;
  [[nodiscard]] Expected<std::vector<unsigned>> find_slots() const;
  [[nodiscard]] Expected<void> prepare_all(bool has_time);
  [[nodiscard]] Expected<void> prepare_slow_path();
  [[nodiscard]] Expected<void> set_up(SlowPath& slow);
  [[nodiscard]] Expected<void> prepare_ports(std::vector<SwitchPort> prepared_before, bool has_time);
  [[nodiscard]] Expected<void> prepare_again_if_changed(bool has_time);
  void drop_unopened();
  [[nodiscard]] const Baseline& base();
  [[nodiscard]] Expected<void> note_rule(const Rule& rule, bool deleted);
  [[nodiscard]] Expected<void> note_all_rules_deleted();
  [[nodiscard]] Expected<void> note_port(const std::string& name, std::optional<std::string> now);
  [[nodiscard]] Expected<flowtable::PortId> open_port(const PortConfig& port);
  [[nodiscard]] flowtable::PortId close_port(const std::string& name);
  void open_ethdevs();
  bool try_ethdevs();
  void try_missed_guests();
  void tell_missed();
  void search_later(std::chrono::milliseconds delay);
  void search();
  void adopt(SwitchPort& port, std::unique_ptr<ports::Port> opened);
  void ask_for_forgotten_ids();
  void collect_pools();
  void release_id(flowtable::PortId id);
  void list_more(const std::shared_ptr<FlowListing>& listing, const Then<ports::UniqueFd>& then);
  [[nodiscard]] bool some_wait() const;
  void drain() const;

  /// Has `question` answered on the slow path's thread, and `then` called with the answer on this one, unless the
  /// switch is gone by then.
  template <typename T, typename Question, typename Then>
  void ask(Question question, Then then) {
    slow_path->post([this, alive = alive, question = std::move(question), then = std::move(then)](SlowPath& slow) {
      loop.post([alive, then, answer = question(slow)]() mutable {
        if (*alive) then(T(std::move(answer)));
      });
    });
  }
  /// The same for a change of rules; `then` once it is in force.
  template <typename T, typename Change, typename Then>
  void change_rules(Change change, Then then) {
    slow_path->post([this, alive = alive, change = std::move(change), then = std::move(then)](SlowPath& slow) {
      slow.when_rules_are_in_force([this, alive, then, answer = change(slow)] {
        loop.post([alive, then, answer] {
          if (*alive) then(T(answer));
        });
      });
    });
  }

  const Config loaded;        ///< as it was read
  EffectiveConfig effective;  ///< as it is to be, after what was changed at run time
  Config& config = effective.config;
  ports::EventLoop& loop;
  KeeperLink& link;  ///< what outlives us
  RunTimeChanges changes;
  std::optional<Baseline> baseline;             ///< of `loaded`, once it is asked for
  std::optional<ChangeLog::Mark> changes_seen;  ///< those that `config` is made of; nothing: it is not, whole
  std::map<std::string, std::string> unopened;  ///< ports that cannot be had now, and why
  // In the order they are needed; destroyed from the last to the first.
  ports::Eal eal;
  ports::MbufPool pool;
  ports::PortPools port_pools;
  PmdSet pmds;
  PortSet ports;
  std::unique_ptr<SlowPath> prepared;  ///< until take_up()
  std::unique_ptr<SlowPathThread> slow_path;

  ports::PortHost host;
  PortNames names;
  std::vector<Rule> rules;  ///< as the slow path has them, but for their order
  ports::EventLoop::TimerId stall_timer = 0;
  ports::EventLoop::TimerId leaving_timer = 0;
  ports::EventLoop::TimerId search_timer = 0;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);  ///< read and written on the control thread only
  const std::chrono::steady_clock::time_point started;
  std::vector<ClearedPmd> cleared_pmds;
  std::map<PmdSet::QueueId, ClearedQueue> cleared_queues;
};

/// What tells a port, to a worker that comes after.
[[nodiscard]] inline PortIdentity identity(const PortConfig& port) {
  if (!port.vhost_user) return {.name = port.name, .socket = {}};
  return {.name = port.name,
          .socket = port.vhost_user->path,
          .connects = port.vhost_user->mode == VhostUserConfig::Mode::client};
}

/// Whether two rules are the same to add and delete: one priority, one match.
[[nodiscard]] inline bool same_match(const Rule& a, const Rule& b) {
  return a.priority == b.priority && a.value == b.value && a.mask == b.mask;
}

}  // namespace sluice::control
