// The log: set-up of spdlog. See log.hpp.
#include "control/log.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "ports/unique_fd.hpp"

namespace sluice::control {
namespace {

/// "<4>" and the like, in front of a line: sd-daemon(3), the numbers are syslog's.
class JournalPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    std::string_view prefix = "<6>";
    switch (message.level) {
      case spdlog::level::trace:
      case spdlog::level::debug: prefix = "<7>"; break;
      case spdlog::level::info:
      case spdlog::level::off:
      case spdlog::level::n_levels: break;
      case spdlog::level::warn: prefix = "<4>"; break;
      case spdlog::level::err: prefix = "<3>"; break;
      case spdlog::level::critical: prefix = "<2>"; break;
    }
    line.append(prefix.data(), prefix.data() + prefix.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

/// systemd.exec(5): JOURNAL_STREAM holds device and inode of the journal's stream. A child whose stderr went elsewhere
/// inherits the variable too, so that its being set says nothing yet.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

/// For a write to the journal: it may be gone for good.
constexpr timeval kJournalPatience{.tv_sec = 0, .tv_usec = 1000};

/// Whoever reads stderr (a pipe, a terminal, the journal) may have stopped to. From now on a write finds room or fails,
/// also of what is not ours (DPDK, a stack in a signal handler), and also in workers.
void make_stderr_unhurried() {
  struct stat status {};
  if (::fstat(STDERR_FILENO, &status) != 0) return;
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    // Opened anew: what is set for stderr itself is so for all who have it, the shell that started us among them.
    const ports::UniqueFd own(::open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own) ::dup2(own.get(), STDERR_FILENO);
  } else if (stderr_is_the_journal()) {
    ::setsockopt(STDERR_FILENO, SOL_SOCKET, SO_SNDTIMEO, &kJournalPatience, sizeof kJournalPatience);
  }
}

/// A file whose writes, a line each, go to stderr; what finds no room is counted, and the next that does says so.
class CountedFile {
 public:
  /// Null if there is no memory.
  static FILE* open() {
    static CountedFile file;
    return ::fopencookie(&file, "w", {.read = nullptr, .write = &write, .seek = nullptr, .close = nullptr});
  }

 private:
  static bool put(std::string_view line) {
    return ::write(STDERR_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }

  static ssize_t write(void* cookie, const char* text, std::size_t size) {
    auto& missing = static_cast<CountedFile*>(cookie)->missing_;
    // What went out of the last one may be without its end.
    if (missing != 0 && put(fmt::format("\n({} lines are missing here: nobody read them)\n", missing))) missing = 0;
    if (missing != 0 || !put({text, size})) ++missing;
    return static_cast<ssize_t>(size);
  }

  std::uint64_t missing_ = 0;
};

bool colour_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(STDERR_FILENO) == 1 && spdlog::details::os::is_color_terminal() &&
         (no_color == nullptr || *no_color == '\0');
}

spdlog::level::level_enum level_of(ports::Severity severity) {
  switch (severity) {
    case ports::Severity::debug: return spdlog::level::debug;
    case ports::Severity::info: return spdlog::level::info;
    case ports::Severity::warning: return spdlog::level::warn;
    case ports::Severity::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void start_log() {
  using Mutex = spdlog::details::console_mutex;
  make_stderr_unhurried();
  FILE* const counted = CountedFile::open();
  FILE* const out = counted != nullptr ? counted : stderr;
  spdlog::sink_ptr sink;
  if (colour_wanted()) {
    sink = std::make_shared<spdlog::sinks::ansicolor_sink<Mutex>>(out, spdlog::color_mode::always);
  } else {
    sink = std::make_shared<spdlog::sinks::stdout_sink_base<Mutex>>(out);
  }
  auto logger = std::make_shared<spdlog::logger>("sluice", std::move(sink));
  if (stderr_is_the_journal()) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<JournalPriority>('*').set_pattern("%*%v");
    logger->set_formatter(std::move(formatter));
  } else {
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  }
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

Expected<void> set_log_level(std::string_view level) {
  static constexpr std::array<spdlog::level::level_enum, kLogLevels.size()> values{
      spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err, spdlog::level::off};
  for (std::size_t i = 0; i < kLogLevels.size(); ++i) {
    if (kLogLevels[i] == level) {
      spdlog::set_level(values[i]);
      return {};
    }
  }
  return tl::make_unexpected(
      Error{fmt::format("log level '{}' is none: there are {}", level, fmt::join(kLogLevels, ", "))});
}

std::function<void(ports::Severity, const std::string&)> port_log() {
  // "{}": the line is text, braces in it are no format.
  return [](ports::Severity severity, const std::string& line) { spdlog::log(level_of(severity), "{}", line); };
}

}  // namespace sluice::control
