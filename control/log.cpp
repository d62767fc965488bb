// The log: set-up of spdlog. See log.hpp.
#include "control/log.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

bool colour_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
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
  spdlog::sink_ptr sink;
  if (colour_wanted()) {
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
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
