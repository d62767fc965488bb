#include "control/keeper/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

namespace sluice::control {

using ports::UniqueFd;

namespace {

tl::unexpected<Error> failed(const char* what) {
  return tl::unexpected(Error{fmt::format("a worker cannot be started: {}: {}", what, std::strerror(errno))});
}

/// PIDFD_THREAD, which the kernel's headers of Debian 12 do not know yet.
constexpr unsigned kOfThread = O_EXCL;

struct SocketPair {
  UniqueFd ours, theirs;

  static std::optional<SocketPair> create(int type) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair.data()) != 0) return {};
    return SocketPair{UniqueFd(pair[0]), UniqueFd(pair[1])};
  }
};

/// At the end of a keeper, for the kernel to take down what a worker had: who starts the switch again at once finds its
/// devices and hugepages free. Not for ever: a switch that is told to end does so within a second.
constexpr int kReleasePatienceMs = 500;

/// Above all numbers that the child is to find something at.
int out_of_the_way(int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 16); }

/// In the child. Only what may be called between fork and exec.
[[noreturn]] void become_worker(const std::array<int, 4>& given, int program, char* const* arguments, pid_t keeper,
                                const WorkerProcess::Start& start) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!start.urgent) start.ordinary.apply(0);
  if (::getppid() != keeper) ::_exit(1);  // it died before that
  // The keeper is the one who is told to end; what goes to the whole group (Ctrl-C) is not for us.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (std::size_t i = 0; i < given.size(); ++i) ::dup2(given[i], kWorkerLinkFd + static_cast<int>(i));
  ::fexecve(program, arguments, environ);
  if (errno == ENOENT)
    ::execve(start.binary.path.c_str(), arguments, environ);  // a script: its interpreter has to find it by its name
  constexpr std::string_view kWhy = "sluice: the worker's program cannot be executed\n";
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, kWhy.data(), kWhy.size());
  ::_exit(127);
}

}  // namespace

Expected<Binary> Binary::open(const std::string& path) {
  // A FIFO would be waited for.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (fd && ::fstat(fd.get(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return tl::unexpected(Error{fmt::format("'{}' cannot be executed: it is no regular file", path)});
  }
  if (!fd || ::faccessat(fd.get(), "", X_OK, AT_EMPTY_PATH) != 0) {
    return tl::unexpected(Error{fmt::format("'{}' cannot be executed: {}", path, std::strerror(errno))});
  }
  return Binary{path, std::move(fd)};
}

Binary Binary::duplicate() const { return {path, UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0))}; }

Expected<WorkerProcess> WorkerProcess::start(const Start& start) {
  auto link = SocketPair::create(SOCK_SEQPACKET);
  auto lifeline = SocketPair::create(SOCK_STREAM);
  if (!link || !lifeline) return failed("socketpair");
  const std::array<UniqueFd, 4> moved{UniqueFd(out_of_the_way(link->theirs.get())),
                                      UniqueFd(out_of_the_way(start.state)), UniqueFd(out_of_the_way(start.config)),
                                      UniqueFd(out_of_the_way(lifeline->theirs.get()))};
  const UniqueFd program(out_of_the_way(start.binary.fd.get()));
  if (!program || !std::ranges::all_of(moved, [](const UniqueFd& fd) { return bool(fd); })) return failed("dup");

  std::vector<std::string> words{"sluice",      "worker",
                                 "--protocol",  std::to_string(kKeeperProtocol),
                                 "--heartbeat", std::to_string(start.heartbeat),
                                 "--policy",    std::to_string(start.ordinary.policy()),
                                 "--priority",  std::to_string(start.ordinary.priority())};
  if (start.has_to_go_on) words.emplace_back("--has-to-go-on");
  words.push_back(start.name);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::array<int, 4> given{moved[0].get(), moved[1].get(), moved[2].get(), moved[3].get()};

  const pid_t keeper = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return failed("fork");
  if (pid == 0) become_worker(given, program.get(), arguments.data(), keeper, start);
  UniqueFd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pid_fd) {
    const auto error = failed("pidfd_open");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return error;
  }
  ::fcntl(pid_fd.get(), F_SETFD, FD_CLOEXEC);
  return WorkerProcess(pid, std::move(pid_fd), std::move(link->ours), std::move(lifeline->ours), start.ordinary);
}

WorkerProcess::~WorkerProcess() {
  if (!pid_fd_) return;
  signal(SIGKILL);
  // The kernel waits in a loop for whoever is about to leave the process's entry in /proc, who may be on this core.
  const Scheduling before = Scheduling::of(0);
  ordinary_.apply(0);
  ::waitpid(pid_, nullptr, 0);
  let_go();
  pollfd gone{lifeline_.get(), 0, 0};
  ::poll(&gone, 1, kReleasePatienceMs);
  before.apply(0);
}

void WorkerProcess::let_go() const { ::shutdown(lifeline_.get(), SHUT_WR); }

void WorkerProcess::send(const Message& message, std::string_view text, int fd) {
  if (waiting_.empty()) {
    // gone: its death is about to be told.
    if (send_message(socket_.get(), message, text, fd, false) != SendResult::full) return;
  }
  waiting_.push_back({message, std::string(text), UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0))});
}

bool WorkerProcess::flush() {
  while (!waiting_.empty()) {
    const Waiting& next = waiting_.front();
    if (send_message(socket_.get(), next.message, next.text, next.fd.get(), false) == SendResult::full) return true;
    waiting_.pop_front();
  }
  return false;
}

// By the pidfd: the number may be another's by now.
void WorkerProcess::signal(int number) const {
  if (pid_fd_) ::syscall(SYS_pidfd_send_signal, pid_fd_.get(), number, nullptr, 0);
}

// There is no such call for threads; but nobody else reaps our child, so that its number is its own until then.
void WorkerProcess::signal_thread(int thread, int number) const {
  if (pid_fd_ && thread > 0) ::syscall(SYS_tgkill, pid_, thread, number);
}

UniqueFd WorkerProcess::thread_fd(int thread) const {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, thread, kOfThread)));
  // The number may be another process's by now; asked after the descriptor was made, which is of that one then.
  if (fd && ::syscall(SYS_tgkill, pid_, thread, 0) != 0) fd.reset();
  return fd;
}

bool WorkerProcess::is_dying() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  if (!status) return false;  // it is there until we wait for it: for want of descriptors, nothing can be said
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CoreDumping:")) return line.ends_with("1");
  }
  return true;  // without memory there is no such line
}

std::string WorkerProcess::last_words() {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  ended_well_ = info.si_code == CLD_EXITED && info.si_status == 0;
  if (info.si_code == CLD_EXITED) return fmt::format("ended with exit code {}", info.si_status);
  return fmt::format("was killed by signal {} ({}){}", info.si_status, ::strsignal(info.si_status),
                     info.si_code == CLD_DUMPED ? ", core dumped" : "");
}

}  // namespace sluice::control
