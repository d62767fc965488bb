// EventLoop: epoll, timers and posted work of the control thread. Everything a port does outside of its queues runs
// in one of its callbacks, and no callback blocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace sluice::ports {

class EventLoop {
 public:
  using Callback = std::function<void()>;
  using FdCallback = std::function<void(std::uint32_t events)>;  ///< EPOLLIN, EPOLLOUT, ...
  using TimerId = std::uint64_t;                                 ///< never 0

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Watches fd, level-triggered, until unwatch. The fd stays the caller's.
  void watch(int fd, std::uint32_t events, FdCallback callback);
  void rewatch(int fd, std::uint32_t events);
  /// After this returns the callback is not called again, even if it was due in the same round.
  void unwatch(int fd);

  TimerId after(std::chrono::nanoseconds delay, Callback callback);
  TimerId every(std::chrono::nanoseconds period, Callback callback);
  void cancel(TimerId timer);

  /// From any thread: runs `callback` on the loop's thread, soon.
  void post(Callback callback);

  /// Until stop(). stop() may be called from any thread and from a signal handler.
  void run();
  void stop();
  /// One round that waits at most `timeout`; for tests.
  void run_once(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::ports
