// SlowPathThread: the thread that a SlowPath lives on. When there is nothing to do it looks for upcalls again and
// again, with short sleeps, so that PMDs that have more need not wake it; after a while it sleeps for longer, until a
// PMD rings its doorbell: on a core that it shares, each look costs somebody else some microseconds.
//
// post() and the destructor may be called from any thread but its own, the others by one thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "control/slowpath/slow_path.hpp"
#include "datapath/doorbell.hpp"

namespace sluice::control {

class SlowPathThread {
 public:
  using Task = std::function<void(SlowPath&)>;
  using Clock = std::function<std::uint64_t()>;

  /// `clock` is the PMDs' clock, in ns; `doorbell` is theirs too, and outlives the thread. `first` runs on the thread
  /// before anything else.
  SlowPathThread(std::unique_ptr<SlowPath> slow_path, Clock clock, datapath::Doorbell& doorbell, Task first = {});
  /// Runs the tasks that were posted, then ends. The PMDs have stopped before.
  ~SlowPathThread();
  SlowPathThread(const SlowPathThread&) = delete;
  SlowPathThread& operator=(const SlowPathThread&) = delete;

  /// Has `task` run on the thread, between two rounds. Tasks run in the order in which they were posted.
  void post(Task task);
  /// Has the thread rest at the end of a round, and returns when it does: what is shared with another worker is left as
  /// it is until go_on(). Tasks that are posted wait.
  void rest();
  /// Before rest(), by whoever has something to do until it rests.
  void ask_to_rest();
  void go_on();
  /// The thread's id in the kernel.
  [[nodiscard]] pid_t kernel_id() const;

 private:
  void run();
  bool run_tasks();
  void nap(unsigned idle_rounds);
  void rest_until_told();

  std::unique_ptr<SlowPath> slow_path_;
  Clock clock_;
  datapath::Doorbell& doorbell_;
  std::mutex mutex_;
  Task first_;
  std::vector<Task> tasks_;              ///< guarded by mutex_
  std::atomic<bool> has_tasks_ = false;  ///< so that a round without tasks takes no lock
  std::atomic<bool> stop_ = false;
  std::atomic<bool> shall_rest_ = false;
  std::atomic<bool> rests_ = false;
  std::atomic<pid_t> kernel_id_ = 0;  ///< 0 until it runs
  std::thread thread_;                ///< the last member: it uses all others
};

}  // namespace sluice::control
