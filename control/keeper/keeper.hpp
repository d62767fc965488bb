// Keeper: what `sluice run` is: it starts the worker that is the switch, holds what must outlive it, and starts another
// when it dies. One thread, one event loop; no DPDK, no packet, nothing of what guests send. It waits for nothing, but
// at its end for what workers had.
//
// At a time there are at most two workers: the active one, which has the ports, and another, which stands by, is to
// become the active one in an upgrade (keeper_upgrade.cpp), or has been followed and is about to leave.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "control/keeper/crash_loop.hpp"
#include "control/keeper/keepsakes.hpp"
#include "control/keeper/service_manager.hpp"
#include "control/keeper/shared_memory.hpp"
#include "control/keeper/standstill.hpp"
#include "control/keeper/worker_process.hpp"
#include "control/urgency.hpp"
#include "ports/event_loop.hpp"

namespace sluice::control {

class Keeper {
 public:
  struct Options {
    Binary binary;
    std::string config;              ///< its path
    ports::UniqueFd text;            ///< what was in it
    ports::UniqueFd text_before;     ///< what the keeper before had; none if that is the same, or there was none
    RecoveryConfig recovery;         ///< until a worker with another configuration says otherwise
    ports::UniqueFd control_socket;  ///< listening
    bool leaves_all = false;         ///< told by SIGTERM, to a keeper that finds it with the service manager
    /// For a worker to make itself ready, and for one that has taken up guests to open its devices. There may be a lot
    /// of huge pages to clear; one that hangs must not be waited for for good.
    std::chrono::milliseconds start_patience{60'000};
  };
  /// `found`: what the service manager has kept of a keeper before.
  Keeper(Options options, ServiceManager& manager, ports::UniqueFd state, SharedMemory shared, Keepsakes found);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// Until SIGINT or SIGTERM, or until the first worker fails, if no guest is connected then. Returns the exit code.
  [[nodiscard]] int run();
  /// After run(): whether what there was has been left to another keeper.
  [[nodiscard]] bool leaves_all() const { return options_.leaves_all; }

 private:
  using Clock = CrashLoop::Clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  /// A new version is looked at so often, each so long after the one before, and has to have moved each time before the
  /// old one is let go.
  static constexpr std::chrono::milliseconds kProof{100};
  static constexpr unsigned kProofs = 3;
  /// What a worker is made of.
  struct Version {
    Binary binary;
    ports::UniqueFd text;
  };
  struct Worker {
    WorkerProcess process;
    std::vector<ports::UniqueFd> pmds{};  ///< its PMD threads, as far as they are watched and live
    bool dying = false;                   ///< they were watched, and all are gone
    unsigned heartbeat;
    Clock::time_point started = Clock::now();
    bool ready = false;
    bool going = false;  ///< has been told to go
    bool wants_alone = false;
    bool taken_up = false;
    bool running = false;
    bool dismissed = false;  ///< is killed because it is not needed any more
    bool dead = false;
    bool released = false;                   ///< and its anchor: nothing of what it had is in use
    bool overlooked = false;                 ///< nobody waits any more until it has
    std::string why{};                       ///< why it refused, or why it is being killed
    ports::EventLoop::TimerId overdue = 0;   ///< the next step of its start, or its end if there is a `why`
    ports::EventLoop::TimerId patience = 0;  ///< with its anchor, which has been let go

    [[nodiscard]] bool gone() const { return dead && released; }
  };
  enum class Other : std::uint8_t { none, standby, candidate, followed };
  enum class Stage : std::uint8_t { none, preparing, closing, parking, taking_up, proving };

  // The lives of workers (keeper.cpp).
  [[nodiscard]] std::unique_ptr<Worker> spawn(const Version& version, bool urgent = false);
  void start_active();
  [[nodiscard]] bool guests_are_connected() const;
  void start_standby();
  void promote();
  void watch(Worker& worker);
  void unwatch(const Worker& worker);
  void on_socket(Worker& worker, std::uint32_t events);
  void read_from(Worker& worker);
  void tell(Worker& worker, const Message& message, std::string_view text = {}, int fd = -1);
  void command(Worker& worker, Saying saying, std::string_view text = {}) { tell(worker, {.saying = saying}, text); }
  void command_urgently(Worker& worker, Saying saying, std::uint32_t index = 0);
  void handle(Worker& worker, Received& received);
  void apply(Received& received, const Worker* from);
  void now_taken_up(Worker& worker);
  void now_running(Worker& worker);
  void adopt_settings(const Worker& worker);
  void look();
  void tell_to_go(Worker& worker);
  void expect(Worker& worker, std::chrono::milliseconds patience);
  void expect_nothing(Worker& worker);
  void start_overdue(Worker& worker, std::chrono::milliseconds patience);
  void condemn(Worker& worker, std::string why, int thread);
  void show_stacks(const Worker& worker, int thread);
  void stop(unsigned signal);
  void remove_sockets() const;
  void arm(ports::EventLoop::TimerId& timer, std::chrono::milliseconds delay, void (Keeper::*then)());

  // Workers that have died or are about to (keeper_dying.cpp).
  void watch_pmds(Worker& worker);
  void pmd_ended(Worker& worker, int fd);
  void follow_dying();
  void died(Worker& worker);
  struct Death {
    std::string how;  ///< in words
    bool well;        ///< as it was told to
    bool refused;     ///< or killed by us: that it fails is no accident
    Clock::time_point started;
  };
  void active_died(const Death& death);
  void other_died(const std::string& how, const std::string& why, Clock::time_point started);
  void let_go_of_former();
  void released(Worker& worker);
  void bury(Worker& worker);
  void overlook(Worker& worker);
  [[nodiscard]] bool is_alone() const;
  void alone();
  void reap_orphans() const;

  // An upgrade (keeper_upgrade.cpp).
  void begin_upgrade(const Received& request);
  void candidate_ready();
  void flows_listed(const Received& answer);
  void flows_adopted();
  void parking();
  void handed_over();
  void upgrade_has_taken_up();
  [[nodiscard]] bool moves();
  void prove();
  void overdue();
  void upgrade_failed(const std::string& why);
  void end_stage();

  const Scheduling ordinary_ = Scheduling::of(0);  ///< what workers are, but in a hurry
  ports::EventLoop loop_;
  ServiceManager& manager_;
  const ServiceManager::Retries retries_{manager_, loop_};
  Options options_;
  const std::string installed_;  ///< the path of the program that the switch was started with
  Version version_;              ///< what a worker that dies is followed by
  ports::UniqueFd state_;
  SharedMemory shared_;
  Keepsakes kept_;
  ports::UniqueFd signals_;

  std::unique_ptr<Worker> active_;
  std::unique_ptr<Worker> other_;
  std::vector<std::unique_ptr<Worker>> former_;  ///< dead or dying
  Other role_ = Other::none;
  bool ever_running_ = false;
  bool stopping_ = false;
  int exit_ = 0;
  std::optional<Clock::time_point> death_noticed_;  ///< of a worker whose ports nobody has taken up yet
  CrashLoop crashes_;
  CrashLoop standby_crashes_;
  Standstill standstill_;
  ports::EventLoop::TimerId looking_ = 0;
  ports::EventLoop::TimerId restart_timer_ = 0;
  ports::EventLoop::TimerId standby_timer_ = 0;

  Stage stage_ = Stage::none;
  std::optional<Version> next_;    ///< of the candidate
  Clock::time_point pause_begin_;  ///< when the old one served guests no more
  Clock::duration pause_{};        ///< from then until the new one did
  std::uint32_t listing_ = 0;      ///< how often a worker was asked for its flows
  bool lists_flows_ = false;       ///< the active one has yet to answer that
  Standstill proof_{1, kProof};
  unsigned proofs_ = 0;  ///< at so many looks in a row the new one had moved
  ports::EventLoop::TimerId stage_timer_ = 0;
};

}  // namespace sluice::control
