// `sluice show`: asks a running switch for one of the views, once or again and again.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/cli/style.hpp"
#include "control/cli/views.hpp"
#include "control/rpc/client.hpp"

namespace sluice::control {
namespace {

struct ShowOptions {
  std::string socket;
  bool json = false;
  double watch_seconds = 0;  ///< 0: once
  std::optional<std::uint64_t> limit;
};

volatile std::sig_atomic_t interrupted = 0;  // the one type that a signal handler may write

/// While it lives, Ctrl-C ends the waiting instead of the program.
class CtrlC {
 public:
  CtrlC() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };  // no SA_RESTART: what waits is to return
    ::sigaction(SIGINT, &action, &before_);
  }
  ~CtrlC() { ::sigaction(SIGINT, &before_, nullptr); }
  CtrlC(const CtrlC&) = delete;
  CtrlC& operator=(const CtrlC&) = delete;

  /// Sleeps; false if Ctrl-C was pressed, now or before. The signal is let in by ppoll alone: none is missed between
  /// the question and the sleep.
  bool sleep(double seconds) {
    sigset_t blocked;
    sigset_t old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    ::sigprocmask(SIG_BLOCK, &blocked, &old);
    const auto whole = static_cast<std::time_t>(seconds);
    const timespec time{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
    if (interrupted == 0) ::ppoll(nullptr, 0, &time, &old);
    ::sigprocmask(SIG_SETMASK, &old, nullptr);
    return interrupted == 0;
  }

 private:
  struct sigaction before_ {};
};

Expected<std::string> ask(RpcClient& client, const View& view, const ShowOptions& options) {
  Json params = Json::object();
  if (options.limit) params["limit"] = *options.limit;
  const auto result = client.call(view.name, params);
  if (!result) return tl::make_unexpected(result.error());
  // Watched JSON is a line each time, for a program that reads lines.
  if (options.json) return result->dump(options.watch_seconds > 0 ? -1 : 2) + "\n";
  return render(view, *result, Style::of(STDOUT_FILENO));
}

int watch(RpcClient& client, const View& view, const ShowOptions& options) {
  const bool screen = !options.json && ::isatty(STDOUT_FILENO) == 1;
  const Style style = Style::of(STDOUT_FILENO);
  CtrlC ctrl_c;
  for (bool first = true;; first = false) {
    const auto text = ask(client, view, options);
    if (interrupted != 0) return kDone;
    if (!text) return fail(text.error().message);
    if (screen) {
      const std::string title =
          fmt::format("sluice show {}, every {} s; Ctrl-C ends", view.name, options.watch_seconds);
      fmt::print("\033[H\033[2J{}\n\n", style.dim(title));
    } else if (!first && !options.json) {
      fmt::print("\n");
    }
    fmt::print("{}", *text);
    if (std::fflush(stdout) != 0) return kFailed;  // run_cli says why
    if (!ctrl_c.sleep(options.watch_seconds)) return kDone;
  }
}

int show(const View& view, const ShowOptions& options) {
  auto client = RpcClient::connect(options.socket);
  if (!client) return fail(client.error().message);
  if (options.watch_seconds > 0) return watch(*client, view, options);
  const auto text = ask(*client, view, options);
  if (!text) return fail(text.error().message);
  fmt::print("{}", *text);
  return kDone;
}

}  // namespace

void add_show(CLI::App& app, int& exit) {
  CLI::App* group = app.add_subcommand("show", "Show what a running switch is and does");
  group->require_subcommand(1);
  group->footer(examples({"sluice show status", "sluice show ports --watch", "sluice show pmds --json"}));
  for (const View& view : views()) {
    CLI::App* command = group->add_subcommand(std::string(view.name), "Show " + std::string(view.summary));
    auto options = std::make_shared<ShowOptions>();
    add_socket_option(*command, options->socket);
    command->add_flag("--json", options->json, "For programs: the RPC method's result")->disable_flag_override();
    command->add_option("--watch", options->watch_seconds, "Again and again, until Ctrl-C")
        ->expected(0, 1)
        ->default_str("1")
        ->check(CLI::Range(0.1, 3600.0))
        ->option_text("[SECONDS]");
    if (view.name == "flows") {
      command->add_option("--limit", options->limit, "How many to list")
          ->check(CLI::Range(0, 20'000))
          ->option_text("N [1000]");
    }
    std::string end = examples({fmt::format("sluice show {}", view.name).c_str(),
                                fmt::format("sluice show {} --watch 2", view.name).c_str(),
                                fmt::format("sluice show {} --json | jq .", view.name).c_str()});
    command->footer(view.notes.empty() ? end : fmt::format("{}\n\n{}", view.notes, end));
    command->callback([&view, options, &exit] { exit = show(view, *options); });
  }
}

}  // namespace sluice::control
