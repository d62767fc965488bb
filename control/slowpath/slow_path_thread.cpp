#include "control/slowpath/slow_path_thread.hpp"

#include <unistd.h>

#include <chrono>
#include <utility>

namespace sluice::control {
namespace {

constexpr std::chrono::microseconds kIdleSleep{50};

}  // namespace

SlowPathThread::SlowPathThread(std::unique_ptr<SlowPath> slow_path, Clock clock)
    : slow_path_(std::move(slow_path)), clock_(std::move(clock)), thread_([this] { run(); }) {}

SlowPathThread::~SlowPathThread() {
  stop_.store(true, std::memory_order_relaxed);  // nothing is published by it
  thread_.join();
  run_tasks();
}

void SlowPathThread::post(Task task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  has_tasks_.store(true, std::memory_order_relaxed);  // the mutex orders the tasks themselves
}

pid_t SlowPathThread::kernel_id() const {
  // relaxed: nothing but the number is passed.
  kernel_id_.wait(0, std::memory_order_relaxed);
  return kernel_id_.load(std::memory_order_relaxed);
}

void SlowPathThread::run() {
  kernel_id_.store(::gettid(), std::memory_order_relaxed);
  kernel_id_.notify_all();
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool tasks = run_tasks();
    if (!slow_path_->run_once(clock_()) && !tasks) std::this_thread::sleep_for(kIdleSleep);
  }
}

bool SlowPathThread::run_tasks() {
  if (!has_tasks_.load(std::memory_order_relaxed)) return false;
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    has_tasks_.store(false, std::memory_order_relaxed);
  }
  for (const auto& task : tasks) task(*slow_path_);
  return !tasks.empty();
}

}  // namespace sluice::control
