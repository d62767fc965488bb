// EventLoop on epoll. Runs on the control thread; post and stop are the only doors for others.
//
// A watch is known to the kernel by a number that is never used twice, not by its fd: an event that was due for a
// watch which is gone finds nothing, even if the fd's number is in use again.
#include "ports/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ports/unique_fd.hpp"

namespace sluice::ports {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t kWakeId = 0;

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string("event loop: ") + what + ": " + std::strerror(errno));
}

}  // namespace

struct EventLoop::Impl {
  struct Watch {
    int fd;
    std::shared_ptr<FdCallback> callback;  // shared: a callback may unwatch itself while it runs
  };
  struct Timer {
    TimerId id;
    std::chrono::nanoseconds period;  // 0: once
    std::shared_ptr<Callback> callback;
  };

  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::uint64_t next_watch = kWakeId + 1;
  std::unordered_map<std::uint64_t, Watch> watches;
  std::unordered_map<int, std::uint64_t> watch_of_fd;

  TimerId next_timer = 1;
  std::multimap<Clock::time_point, Timer> timers;

  std::mutex posted_mutex;
  std::vector<Callback> posted;
  std::atomic<bool> stopped{false};

  // Async-signal-safe: stop() may come from a signal handler.
  void wake_up() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake.get(), &one, sizeof one);  // full: it is awake anyway
  }

  void control(int operation, int fd, std::uint32_t events, std::uint64_t id) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll.get(), operation, fd, &event) != 0) fail("epoll_ctl");
  }

  /// Milliseconds until the first timer is due, rounded up, at most `limit` (-1: no limit).
  [[nodiscard]] int wait_ms(int limit) const {
    if (timers.empty()) return limit;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers.begin()->first - Clock::now()).count();
    const auto ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
    return limit < 0 ? ms : std::min(ms, limit);
  }

  void add_timer(Clock::time_point due, Timer timer) { timers.emplace(due, std::move(timer)); }

  void run_timers() {
    const auto now = Clock::now();
    // One by one from the front: a callback may add and cancel timers. What it adds is due after `now`.
    while (!timers.empty() && timers.begin()->first <= now) {
      auto node = timers.extract(timers.begin());
      const auto callback = node.mapped().callback;
      if (node.mapped().period.count() > 0) {
        add_timer(std::max(node.key(), now) + std::max(node.mapped().period, std::chrono::nanoseconds(1)),
                  std::move(node.mapped()));
      }
      (*callback)();
    }
  }

  void run_posted() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(wake.get(), &count, sizeof count);
    std::vector<Callback> due;
    {
      const std::lock_guard lock(posted_mutex);
      due.swap(posted);
    }
    for (Callback& callback : due) callback();
  }

  void round(int limit_ms) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), wait_ms(limit_ms));
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      // Copies: epoll_event is packed, so its members cannot be referred to.
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      const std::uint32_t ready = events[static_cast<std::size_t>(i)].events;
      if (id == kWakeId) {
        run_posted();
      } else if (const auto found = watches.find(id); found != watches.end()) {
        const auto callback = found->second.callback;
        (*callback)(ready);
      }
    }
    run_timers();
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  if (!impl_->epoll || !impl_->wake) fail("cannot be made");
  impl_->control(EPOLL_CTL_ADD, impl_->wake.get(), EPOLLIN, kWakeId);
}

EventLoop::~EventLoop() = default;

void EventLoop::watch(int fd, std::uint32_t events, FdCallback callback) {
  const std::uint64_t id = impl_->next_watch++;
  impl_->control(EPOLL_CTL_ADD, fd, events, id);
  impl_->watch_of_fd[fd] = id;
  impl_->watches.emplace(id, Impl::Watch{fd, std::make_shared<FdCallback>(std::move(callback))});
}

void EventLoop::rewatch(int fd, std::uint32_t events) {
  impl_->control(EPOLL_CTL_MOD, fd, events, impl_->watch_of_fd.at(fd));
}

void EventLoop::unwatch(int fd) {
  const auto found = impl_->watch_of_fd.find(fd);
  if (found == impl_->watch_of_fd.end()) return;
  impl_->control(EPOLL_CTL_DEL, fd, 0, 0);
  impl_->watches.erase(found->second);
  impl_->watch_of_fd.erase(found);
}

EventLoop::TimerId EventLoop::after(std::chrono::nanoseconds delay, Callback callback) {
  const TimerId id = impl_->next_timer++;
  // At least 1 ns from now, so that a timer that sets itself again does not hold up the round.
  impl_->add_timer(Clock::now() + std::max(delay, std::chrono::nanoseconds(1)),
                   {id, std::chrono::nanoseconds(0), std::make_shared<Callback>(std::move(callback))});
  return id;
}

EventLoop::TimerId EventLoop::every(std::chrono::nanoseconds period, Callback callback) {
  const TimerId id = impl_->next_timer++;
  const auto step = std::max(period, std::chrono::nanoseconds(1));
  impl_->add_timer(Clock::now() + step, {id, step, std::make_shared<Callback>(std::move(callback))});
  return id;
}

void EventLoop::cancel(TimerId timer) {
  std::erase_if(impl_->timers, [timer](const auto& entry) { return entry.second.id == timer; });
}

void EventLoop::post(Callback callback) {
  {
    const std::lock_guard lock(impl_->posted_mutex);
    impl_->posted.push_back(std::move(callback));
  }
  impl_->wake_up();
}

void EventLoop::run() {
  while (!impl_->stopped.load(std::memory_order_acquire)) impl_->round(-1);
  impl_->stopped.store(false, std::memory_order_relaxed);
}

void EventLoop::stop() {
  impl_->stopped.store(true, std::memory_order_release);
  impl_->wake_up();
}

void EventLoop::run_once(std::chrono::milliseconds timeout) {
  impl_->round(static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 1'000'000)));
}

}  // namespace sluice::ports
