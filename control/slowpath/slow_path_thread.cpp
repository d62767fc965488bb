#include "control/slowpath/slow_path_thread.hpp"

#include <unistd.h>

#include <chrono>
#include <utility>

namespace sluice::control {
namespace {

constexpr std::chrono::microseconds kShortSleep{50};
/// Of these, before the long ones: some milliseconds, so that PMDs make few system calls however often there is
/// something new.
constexpr unsigned kShortSleeps = 40;
/// Time alone gives work too (SlowPath::next_deadline), and what PMDs have done with our commands.
constexpr std::chrono::milliseconds kLongSleep{1};

}  // namespace

SlowPathThread::SlowPathThread(std::unique_ptr<SlowPath> slow_path, Clock clock, datapath::Doorbell& doorbell,
                               Task first)
    : slow_path_(std::move(slow_path)),
      clock_(std::move(clock)),
      doorbell_(doorbell),
      first_(std::move(first)),
      thread_([this] { run(); }) {}

SlowPathThread::~SlowPathThread() {
  stop_.store(true, std::memory_order_relaxed);  // nothing is published by it
  go_on();
  doorbell_.ring();
  thread_.join();
  run_tasks();
}

void SlowPathThread::post(Task task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  has_tasks_.store(true, std::memory_order_relaxed);  // the mutex orders the tasks themselves
  doorbell_.ring();
}

void SlowPathThread::ask_to_rest() {
  shall_rest_.store(true, std::memory_order_relaxed);
  doorbell_.ring();
}

void SlowPathThread::rest() {
  ask_to_rest();
  // acquire: all that it has done.
  rests_.wait(false, std::memory_order_acquire);
}

void SlowPathThread::go_on() {
  // release: what has become of the ports meanwhile.
  shall_rest_.store(false, std::memory_order_release);
  shall_rest_.notify_one();
  rests_.wait(true, std::memory_order_relaxed);  // whoever asks it to rest next is not to find that it still does
}

pid_t SlowPathThread::kernel_id() const {
  // relaxed: nothing but the number is passed.
  kernel_id_.wait(0, std::memory_order_relaxed);
  return kernel_id_.load(std::memory_order_relaxed);
}

void SlowPathThread::run() {
  kernel_id_.store(::gettid(), std::memory_order_relaxed);
  kernel_id_.notify_all();
  if (first_) first_(*slow_path_);
  unsigned idle_rounds = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    if (shall_rest_.load(std::memory_order_relaxed)) {
      rest_until_told();
      continue;
    }
    const bool tasks = run_tasks();
    idle_rounds = slow_path_->run_once(clock_()) || tasks ? 0 : idle_rounds + 1;
    if (idle_rounds != 0) nap(idle_rounds);
  }
}

void SlowPathThread::rest_until_told() {
  rests_.store(true, std::memory_order_release);
  rests_.notify_one();
  shall_rest_.wait(true, std::memory_order_acquire);
  rests_.store(false, std::memory_order_relaxed);
  rests_.notify_one();
}

void SlowPathThread::nap(unsigned idle_rounds) {
  if (idle_rounds <= kShortSleeps) return std::this_thread::sleep_for(kShortSleep);
  doorbell_.about_to_wait();
  const bool called = has_tasks_.load(std::memory_order_relaxed) || stop_.load(std::memory_order_relaxed) ||
                      shall_rest_.load(std::memory_order_relaxed) || slow_path_->upcalls_waiting() != 0;
  doorbell_.wait(called ? std::chrono::nanoseconds(0) : kLongSleep);
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
