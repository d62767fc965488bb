#include "ports/eal.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <vector>

#include <pthread.h>
#include <signal.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "ports/tsc.hpp"

namespace sluice::ports {

/// The stream DPDK writes to. Each of its messages is one line, and one write.
struct Eal::Log {
  std::function<void(unsigned, std::string_view)> say;
  FILE* stream = nullptr;

  ~Log() {
    if (stream == nullptr) return;
    rte_openlog_stream(nullptr);
    std::fclose(stream);
  }

  static ssize_t write(void* cookie, const char* text, std::size_t size) {
    const auto& log = *static_cast<const Log*>(cookie);
    std::string_view lines(text, size);
    while (!lines.empty()) {
      const std::size_t end = std::min(lines.find('\n'), lines.size());
      const int level = rte_log_cur_msg_loglevel();
      if (end != 0) {
        note(level, lines.substr(0, end));
        log.say(static_cast<unsigned>(std::max(level, 1)), lines.substr(0, end));
      }
      lines.remove_prefix(std::min(end + 1, lines.size()));
    }
    return static_cast<ssize_t>(size);
  }

  /// For who listens on this thread.
  static void note(int level, std::string_view line) {
    FirstError* const listening = FirstError::listening;
    if (listening == nullptr || level > static_cast<int>(RTE_LOG_ERR) || !listening->text_.empty()) return;
    constexpr std::string_view kFunction = "(): ";
    if (const std::size_t at = line.find(kFunction); at != std::string_view::npos) {
      line.remove_prefix(at + kFunction.size());
    }
    listening->text_ = line;
  }

  bool open() {
    stream = fopencookie(this, "w", {.read = nullptr, .write = write, .seek = nullptr, .close = nullptr});
    if (stream == nullptr) return false;
    std::setvbuf(stream, nullptr, _IOLBF, 0);
    return rte_openlog_stream(stream) == 0;
  }
};

namespace {

/// What rte_eal_init changes of the thread that calls it.
class ThreadState {
 public:
  ThreadState() {
    CPU_ZERO(&cpus_);
    pthread_getaffinity_np(pthread_self(), sizeof cpus_, &cpus_);
    pthread_sigmask(SIG_SETMASK, nullptr, &signals_);
    pthread_getname_np(pthread_self(), name_.data(), name_.size());
  }
  ~ThreadState() {
    pthread_setaffinity_np(pthread_self(), sizeof cpus_, &cpus_);
    pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
    pthread_setname_np(pthread_self(), name_.data());
  }
  ThreadState(const ThreadState&) = delete;
  ThreadState& operator=(const ThreadState&) = delete;

  [[nodiscard]] int first_cpu() const {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &cpus_)) return cpu;
    }
    return 0;
  }

 private:
  cpu_set_t cpus_;
  sigset_t signals_;
  std::array<char, 16> name_{};
};

std::vector<std::string> arguments(const EalOptions& options, int cpu) {
  std::vector<std::string> args{"sluice",
                                // One lcore, 0, for the thread that starts; PMDs register themselves.
                                "--lcores=0@" + std::to_string(cpu),
                                // No files, sockets or second process: what the switch shows, it shows itself.
                                "--no-telemetry", "--log-level=notice", "-m", std::to_string(options.megabytes)};
  if (options.hugepages) {
    args.emplace_back("--in-memory");
  } else {
    // Not to be had together with --in-memory; without shared configuration it writes no files either.
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  if (options.pci) {
    // Without a list of allowed devices DPDK takes every one that is bound to VFIO, configured or not, and a port's is
    // then "in use" when it is attached. The host bridge is no device of any driver; ports attach theirs one by one.
    args.emplace_back("--allow=0000:00:00.0");
  } else {
    args.emplace_back("--no-pci");
  }
  return args;
}

}  // namespace

thread_local FirstError* FirstError::listening = nullptr;

FirstError::FirstError() : before_(std::exchange(listening, this)) {}
FirstError::~FirstError() { listening = before_; }

Eal::Eal(std::unique_ptr<Log> log) : log_(std::move(log)) {}
Eal::Eal(Eal&&) noexcept = default;

tl::expected<Eal, std::string> Eal::start(const EalOptions& options) {
  static std::atomic<bool> was_started{false};
  // relaxed: only the exchange itself matters.
  if (was_started.exchange(true, std::memory_order_relaxed)) {
    return tl::unexpected(std::string("DPDK: was started before in this process, and can be only once"));
  }
  const auto say = options.log ? options.log : [](unsigned, std::string_view) {};
  auto log = std::make_unique<Log>();
  log->say = say;
  if (!log->open()) return tl::unexpected(std::string("DPDK: its log cannot be opened: out of memory"));

  const ThreadState state;
  std::vector<std::string> args = arguments(options, state.first_cpu());
  std::vector<char*> argv;
  argv.reserve(args.size());
  for (std::string& arg : args) argv.push_back(arg.data());
  const auto init = [&argv] {
    const TscMeasurement measurement;
    return rte_eal_init(static_cast<int>(argv.size()), argv.data());
  };
  const FirstError first_error;
  if (init() < 0) {
    const char* const hint = options.hugepages ? "; are there enough free hugepages? (/proc/sys/vm/nr_hugepages)" : "";
    return tl::unexpected("DPDK: does not start with " + std::to_string(options.megabytes) + " megabytes of " +
                          (options.hugepages ? "hugepages: " : "ordinary memory: ") + rte_strerror(rte_errno) +
                          (first_error.text().empty() ? "" : " (" + first_error.text() + ")") + hint);
  }
  return Eal(std::move(log));
}

Eal::~Eal() {
  if (log_ != nullptr) rte_eal_cleanup();
}

tl::expected<EalThread, std::string> EalThread::enter() {
  if (rte_thread_register() != 0) {
    return tl::unexpected(std::string("DPDK: cannot take one more thread: ") + rte_strerror(rte_errno));
  }
  return EalThread(true);
}

EalThread::~EalThread() {
  if (member_) rte_thread_unregister();
}

}  // namespace sluice::ports
