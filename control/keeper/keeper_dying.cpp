// What becomes of a worker that dies, and who follows it. One that stands by follows it as soon as nothing of it runs
// any more, before the kernel has taken it down. What it had is let go when guests have been taken up, since that takes
// a core's time; or when whoever comes after waits for it, who may need its hugepages; or when nobody comes.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <utility>
#include <vector>

#include "control/keeper/keeper.hpp"

namespace sluice::control {

using std::chrono::milliseconds;

namespace {

/// By then, another has followed a worker that died.
constexpr milliseconds kBurial{300};
/// For the system to take down what a worker had. It does some gigabytes of memory in a second; closing a device takes
/// its time too.
constexpr milliseconds kReleasePatience{5000};

}  // namespace

/// A process that is killed has died when each of its threads has had its turn on a core. None of them does anything
/// any more long before: its PMDs, which never end by themselves, are gone at once (unless it dumps core, which they
/// wait for).
void Keeper::watch_pmds(Worker& worker) {
  worker.pmds.clear();
  for (const auto& pmd : shared_->heartbeats[worker.heartbeat].pmds) {
    const auto thread = static_cast<int>(pmd.thread.load(std::memory_order_relaxed));
    ports::UniqueFd fd = thread == 0 ? ports::UniqueFd() : worker.process.thread_fd(thread);
    if (!fd) continue;
    loop_.watch(fd.get(), EPOLLIN, [this, &worker, number = fd.get()](std::uint32_t) { pmd_ended(worker, number); });
    worker.pmds.push_back(std::move(fd));
  }
}

void Keeper::pmd_ended(Worker& worker, int fd) {
  loop_.unwatch(fd);
  std::erase_if(worker.pmds, [fd](const ports::UniqueFd& pmd) { return pmd.get() == fd; });
  worker.dying = worker.pmds.empty();
  follow_dying();
}

void Keeper::follow_dying() {
  // One that has yet to be started looks whether another still has the ports, and would take this one for that.
  const bool stands_by = role_ == Other::standby && other_->ready;
  if (active_ == nullptr || !active_->dying || !stands_by || stopping_ || stage_ != Stage::none) return;
  Worker& worker = *active_;
  read_from(worker);
  loop_.unwatch(worker.process.socket());
  const Death death{fmt::format("worker {} is dying", worker.process.pid()), false, false, worker.started};
  former_.push_back(std::move(active_));
  active_died(death);
}

void Keeper::died(Worker& worker) {
  const bool followed = std::ranges::find(former_, &worker, &std::unique_ptr<Worker>::get) != former_.end();
  // What it said before it died counts, if whoever follows can still hear of it. A connection that comes too late for
  // that is closed.
  if (!followed) read_from(worker);
  worker.dead = true;
  loop_.unwatch(worker.process.socket());
  loop_.unwatch(worker.process.pid_fd());
  for (const ports::UniqueFd& pmd : worker.pmds) loop_.unwatch(pmd.get());
  loop_.cancel(worker.overdue);
  const pid_t pid = worker.process.pid();
  const std::string end = worker.process.last_words();
  const std::string how =
      fmt::format("worker {} {}{}", pid, end, worker.why.empty() ? "" : fmt::format(": {}", worker.why));
  const bool well = worker.process.ended_well();
  const Clock::time_point started = worker.started;
  if (followed) {
    if (!worker.dismissed) spdlog::error("{}", how);
  } else if (&worker == active_.get()) {
    former_.push_back(std::move(active_));
    active_died({how, well, !worker.why.empty(), started});
  } else {
    const std::string why = worker.why.empty() ? fmt::format("it {}", end) : worker.why;
    former_.push_back(std::move(other_));
    other_died(how, why, started);
  }
  if (worker.gone()) bury(worker);
  let_go_of_former();
}

void Keeper::active_died(const Death& death) {
  standstill_.reset();
  if (stopping_ || (!ever_running_ && !guests_are_connected())) {
    if (!stopping_ || !death.well) spdlog::error("{}", death.how);
    if (!stopping_) exit_ = 1;
    return loop_.stop();
  }
  if (!death_noticed_) death_noticed_ = Clock::now();
  if (stage_ == Stage::preparing) {
    // What was to come has yet to show that it can; what was there has.
    next_.reset();
    end_stage();
    role_ = Other::followed;
    other_->process.signal(SIGKILL);
    spdlog::error("upgrade: given up, since the worker that was to hand over has died");
    manager_.ready();
  } else if (stage_ == Stage::proving) {
    upgrade_failed(fmt::format("the new version was running, and then {}", death.how));
    end_stage();
    if (other_ != nullptr) command(*other_, Saying::leave);
  }
  const milliseconds delay = crashes_.crashed(Clock::now(), Clock::now() - death.started);
  if (options_.text_before && (death.refused || delay.count() > 0)) {
    spdlog::error("{}; the switch goes on with the configuration of before", death.how);
    version_.text = std::exchange(options_.text_before, {});
    return start_active();
  }
  if (delay.count() > 0 && role_ != Other::candidate) {
    spdlog::error("{}; this happens again and again: another is started in {} ms", death.how, delay.count());
    return arm(restart_timer_, delay, &Keeper::start_active);
  }
  const bool waits = other_ != nullptr && (role_ == Other::standby || role_ == Other::candidate);
  spdlog::error("{}; {}", death.how, waits ? "the one that stands by takes over" : "another is started");
  if (waits && stage_ == Stage::taking_up) return;  // it has been told to go
  if (waits && (stage_ == Stage::closing || stage_ == Stage::parking)) {
    parking();
    return handed_over();
  }
  waits ? promote() : start_active();
}

void Keeper::other_died(const std::string& how, const std::string& why, Clock::time_point started) {
  const Other role = std::exchange(role_, Other::none);
  if (stopping_) return;
  if (role == Other::candidate) {
    const bool parked = stage_ == Stage::taking_up;
    next_.reset();
    end_stage();
    upgrade_failed(why);
    if (active_ == nullptr) return start_active();
    if (parked) command(*active_, Saying::resume);
  } else if (role == Other::standby) {
    spdlog::warn("{}, standing by", how);
    const milliseconds delay = standby_crashes_.crashed(Clock::now(), Clock::now() - started);
    return arm(standby_timer_, delay, &Keeper::start_standby);
  }
  start_standby();
}

void Keeper::let_go_of_former() {
  const auto is_awaited = [](const std::unique_ptr<Worker>& worker) {
    return worker != nullptr && !worker->taken_up && !worker->wants_alone;
  };
  const bool guests_wait = is_awaited(active_) || (stage_ == Stage::taking_up && is_awaited(other_));
  for (const std::unique_ptr<Worker>& worker : former_) {
    // Of those that die before they serve anybody there may be more than there is memory for.
    if (worker->released || worker->patience != 0 || (guests_wait && worker->taken_up)) continue;
    worker->process.let_go();
    worker->patience = loop_.after(kReleasePatience, [this, it = worker.get()] { overlook(*it); });
  }
}

void Keeper::released(Worker& worker) {
  loop_.unwatch(worker.process.lifeline());
  loop_.cancel(worker.patience);
  worker.released = true;
  if (worker.gone()) bury(worker);
  if (is_alone()) alone();
}

void Keeper::bury(Worker& worker) {
  unwatch(worker);
  // Later: what the kernel does when it is reaped may take long, and whoever follows is waited for.
  loop_.after(kBurial, [this] {
    std::erase_if(former_, [](const auto& former) { return former->gone(); });
    reap_orphans();
  });
}

/// Whoever follows has waited long enough.
void Keeper::overlook(Worker& worker) {
  spdlog::warn("worker {}: {} ms after its death the system has not yet taken down all that it had",
               worker.process.pid(), kReleasePatience.count());
  worker.overlooked = true;
  if (is_alone()) alone();
}

/// Whether nothing is left of workers before the one that there is.
bool Keeper::is_alone() const {
  return std::ranges::all_of(former_, [](const auto& worker) { return worker->released || worker->overlooked; });
}

void Keeper::alone() {
  if (stopping_) return;
  for (Worker* worker : {active_.get(), other_.get()}) {
    if (worker != nullptr && !worker->running) command(*worker, Saying::alone);
  }
  start_standby();
}

/// Anchors of workers that are dead. Those of workers are for died().
void Keeper::reap_orphans() const {
  const auto is = [](const std::unique_ptr<Worker>& worker, pid_t pid) {
    return worker != nullptr && worker->process.pid() == pid;
  };
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0) {
    const pid_t pid = ended.si_pid;
    const bool former = std::ranges::any_of(former_, [&](const auto& worker) { return is(worker, pid); });
    if (former || is(active_, pid) || is(other_, pid)) return;
    ::waitpid(pid, nullptr, 0);
    ended = {};
  }
}

}  // namespace sluice::control
