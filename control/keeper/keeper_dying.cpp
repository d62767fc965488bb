// A worker that stands by follows one that is killed as soon as nothing of that one runs any more, and does not wait
// until the kernel has taken it down.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "control/keeper/keeper.hpp"

namespace sluice::control {

/// A process that is killed has died when all that it had is taken down, which may take the kernel tens of
/// milliseconds. None of its threads does anything any more long before: its PMDs, which never end by themselves, are
/// gone at once (unless it dumps core, which they wait for).
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
  const std::string how = fmt::format("worker {} is dying", worker.process.pid());
  const Clock::time_point started = worker.started;
  dying_.push_back(std::move(active_));
  active_died(how, false, started);
}

}  // namespace sluice::control
