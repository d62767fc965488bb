// WorkerProcess: one worker as the keeper sees it: a child process and the socket to it. Only its destructor waits.
//
// A worker does not outlive its keeper (PR_SET_PDEATHSIG): who would hold what it needs?
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "control/error.hpp"
#include "control/keeper/message.hpp"
#include "control/urgency.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

/// The program to run, held open: what an upgrade of the package puts at its path is another program.
struct Binary {
  std::string path;
  ports::UniqueFd fd;

  [[nodiscard]] static Expected<Binary> open(const std::string& path);
  [[nodiscard]] Binary duplicate() const;
};

/// Where a worker finds what it is given; see worker_process.cpp and cli/worker.cpp.
inline constexpr int kWorkerLinkFd = 3;
inline constexpr int kWorkerStateFd = 4;
inline constexpr int kWorkerConfigFd = 5;
inline constexpr int kWorkerLifelineFd = 6;

class WorkerProcess {
 public:
  struct Start {
    const Binary& binary;
    int state;                ///< the shared state's memfd
    int config;               ///< the configuration's text
    const std::string& name;  ///< what it is called in messages: its path
    unsigned heartbeat;
    const Scheduling& ordinary;  ///< what its threads are but in a hurry; ours may be another
    bool urgent;                 ///< VMs wait for it: it begins as we are
    bool has_to_go_on;           ///< see KeeperLink
  };
  [[nodiscard]] static Expected<WorkerProcess> start(const Start& start);
  WorkerProcess(WorkerProcess&&) = default;
  WorkerProcess& operator=(WorkerProcess&&) = default;
  /// Kills it if it still is there, and waits until nothing is left of it.
  ~WorkerProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pid_fd() const { return pid_fd_.get(); }  ///< readable when it has died
  [[nodiscard]] int socket() const { return socket_.get(); }
  /// Hung up when its anchor has gone; see anchor.hpp.
  [[nodiscard]] int lifeline() const { return lifeline_.get(); }
  /// Lets its anchor go.
  void let_go() const;
  /// A descriptor that is readable when this thread of the process (not its first) has ended; empty if there is no such
  /// thread, or the kernel cannot tell (before Linux 6.9).
  [[nodiscard]] ports::UniqueFd thread_fd(int thread) const;

  /// In order, as soon as the socket takes it. `fd` stays the caller's.
  void send(const Message& message, std::string_view text = {}, int fd = -1);
  /// Sends what waits; whether something still does.
  bool flush();

  void signal(int number) const;
  void signal_thread(int thread, int number) const;
  /// Whether nothing of it will ever run again, but it is not gone: the kernel writes its core, or takes it down.
  [[nodiscard]] bool is_dying() const;
  /// After pid_fd() is readable: how it died, "was killed by signal 11 (Segmentation fault)".
  [[nodiscard]] std::string last_words();
  /// As last_words() found it: whether it ended by exit code 0.
  [[nodiscard]] bool ended_well() const { return ended_well_; }

 private:
  struct Waiting {
    Message message;
    std::string text;
    ports::UniqueFd fd;
  };
  WorkerProcess(pid_t pid, ports::UniqueFd pid_fd, ports::UniqueFd socket, ports::UniqueFd lifeline,
                const Scheduling& ordinary)
      : pid_(pid),
        pid_fd_(std::move(pid_fd)),
        socket_(std::move(socket)),
        lifeline_(std::move(lifeline)),
        ordinary_(ordinary) {}

  pid_t pid_;
  ports::UniqueFd pid_fd_;  ///< empty once moved from
  ports::UniqueFd socket_;
  ports::UniqueFd lifeline_;
  Scheduling ordinary_;  ///< as the keeper was before it was urgent
  std::deque<Waiting> waiting_;
  bool ended_well_ = false;
};

}  // namespace sluice::control
