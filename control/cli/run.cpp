// `sluice run`: the switch itself, in the foreground. This thread becomes the control thread.
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/cli/checked_config.hpp"
#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/log.hpp"
#include "control/rpc/listener.hpp"
#include "control/rpc/server.hpp"
#include "control/rpc/switch_methods.hpp"
#include "control/switch.hpp"
#include "ports/event_loop.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {
namespace {

/// SIGINT and SIGTERM as a descriptor. They are blocked before there is another thread, so that they are in all.
ports::UniqueFd ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return ports::UniqueFd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

int run(const std::string& path, const std::optional<std::string>& socket_path) {
  auto config = checked_config(path);
  if (!config) return report_errors(path, config.error());
  if (socket_path) config->control_socket = *socket_path;

  start_log();
  std::signal(SIGPIPE, SIG_IGN);
  const ports::UniqueFd signals = ending_signals();
  // First of all: that another switch is at work is found out before anything of its is touched.
  auto socket = ListeningSocket::open(config->control_socket);
  if (!socket) return fail(socket.error().message);

  ports::EventLoop loop;
  auto started = Switch::start(*config, loop);
  if (!started) return fail(started.error().message);
  const RpcServer server(loop, std::move(*socket), switch_methods(operations_of(**started)));

  loop.watch(signals.get(), EPOLLIN, [&](std::uint32_t) {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof info) != sizeof info) return;
    spdlog::info("{}: the switch ends", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    loop.stop();
  });
  spdlog::info("sluice " SLUICE_VERSION " runs {}; control socket {}", path, config->control_socket);
  loop.run();
  loop.unwatch(signals.get());
  return kDone;
}

}  // namespace

void add_run(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("run", "Run the switch, until SIGINT or SIGTERM");
  struct Options {
    std::string config;
    std::optional<std::string> socket;
  };
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "The configuration, YAML")->required();
  command->add_option("--socket", options->socket, "The control socket, whatever the configuration says")
      ->option_text("PATH");
  command->footer(examples({"sluice run /etc/sluice/switch.yaml", "sluice run lab.yaml --socket /tmp/lab.sock"}));
  command->callback([options, &exit] { exit = run(options->config, options->socket); });
}

}  // namespace sluice::control
