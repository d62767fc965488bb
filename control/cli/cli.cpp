// The command line. See cli.hpp.
#include "control/cli/cli.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "control/cli/commands.hpp"
#include "control/cli/style.hpp"
#include "control/rules/nearest.hpp"

namespace sluice::control {
namespace {

/// The innermost subcommand that was named: whose help is the one to read.
const CLI::App& innermost(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? app : innermost(*chosen.front());
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

/// CLI11 misses a subcommand where there is a word that is none, and does not say which.
std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  std::vector<std::string> known;
  // Those of no group are not for people.
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); })) {
    known.push_back(sub->get_name());
  }
  const std::vector<std::string> rest = command.remaining();
  const auto word = std::ranges::find_if(rest, [](const std::string& w) { return !w.starts_with('-'); });
  if (known.empty() || word == rest.end()) return error.what();
  const std::vector<std::string_view> names(known.begin(), known.end());
  return fmt::format("'{}' is no command of '{}'{}; there are {}", *word, full_name(command),
                     did_you_mean(*word, names), fmt::join(known, ", "));
}

int usage(const CLI::App& app, const CLI::ParseError& error) {
  fail(what_is_wrong(app, error));
  fmt::print(stderr, "Try '{} --help'.\n", full_name(innermost(app)));
  return kUsage;
}

/// What was printed may still not have gone where it was to go: a full disk, a closed pipe.
int flushed(int exit) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit;
  fail(fmt::format("standard output: {}", std::strerror(errno)));
  return exit == kDone ? static_cast<int>(kFailed) : exit;
}

}  // namespace

int fail(const std::string& message) {
  // Not fmt::print, which throws if nobody reads.
  std::fputs(fmt::format("{} {}\n", Style::of(STDERR_FILENO).red("sluice:"), message).c_str(), stderr);
  return kFailed;
}

void add_socket_option(CLI::App& command, std::string& socket) {
  socket = kDefaultSocket;
  command.add_option("--socket", socket, "The control socket")->option_text("PATH [" + socket + "]");
}

std::string examples(std::initializer_list<const char*> lines) {
  std::string text = "Examples:";
  for (const char* line : lines) text += fmt::format("\n  {}", line);
  return text;
}

int run_cli(int argc, const char* const* argv) {
  int exit = kDone;
  try {
    CLI::App app("Sluice, a userspace virtual switch for the VMs of one host.", "sluice");
    app.set_version_flag("--version", "sluice " SLUICE_VERSION, "Print the version");
    app.require_subcommand(1);
    app.footer(examples({"sluice check switch.yaml       is this configuration right?",
                         "sluice run switch.yaml         be the switch, until Ctrl-C",
                         "sluice show ports              of the one that runs",
                         "sluice show flows --help       each command explains itself"}));
    add_run(app, exit);
    add_check(app, exit);
    add_show(app, exit);
    add_changes(app, exit);
    add_upgrade(app, exit);
    add_worker(app, exit);
    add_replay(app, exit);
    add_completion(app, exit);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      // --help and --version come this way too.
      return error.get_exit_code() == 0 ? flushed(app.exit(error)) : usage(app, error);
    }
  } catch (const std::exception& error) {
    return fail(error.what());
  }
  return flushed(exit);
}

}  // namespace sluice::control
