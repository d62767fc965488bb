// `sluice run`: the keeper, in the foreground, which starts the switch itself as another process (worker.cpp).
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/cli/checked_config.hpp"
#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/config/load.hpp"
#include "control/config/socket_path.hpp"
#include "control/keeper/config_text.hpp"
#include "control/keeper/keeper.hpp"
#include "control/log.hpp"
#include "control/rpc/listener.hpp"

namespace sluice::control {
namespace {

/// The program that runs: where it was when it was started.
Expected<Binary> own_binary() {
  std::error_code error;
  const std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  auto binary = Binary::open("/proc/self/exe");
  if (binary && !error) binary->path = path;
  return binary;
}

/// Each queue of each port has some; what is usual is for programs of another kind.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// A configuration, and the text that it was read from.
struct Chosen {
  std::string text;
  Config config;
  bool of_before = false;  ///< the keeper's before us
};

/// The configuration at `path`; or, if there are errors in it, the one that the keeper before us had (`kept`): guests
/// are connected, and would not be any more. Without either: nothing. Errors are told.
std::optional<Chosen> choose_config(const std::string& path, const ports::UniqueFd& kept) {
  // Read once: a worker that follows another gets the same text, whatever has become of the file.
  auto text = kept ? read_config_text_anew(path) : read_config_text(path);
  auto config = text ? checked_config(*text, path) : tl::unexpected(std::vector{text.error().message});
  if (config) return Chosen{std::move(*text), std::move(*config)};
  report_errors(path, config.error());
  if (!kept) return {};
  text = kept_config_text(kept.get());
  if (!text) return {};
  config = checked_config(*text, path);
  if (!config) return {};
  spdlog::error("the switch goes on with the configuration of before");
  return Chosen{std::move(*text), std::move(*config), true};
}

/// What the service manager has kept for us, if it can be taken up.
struct Legacy {
  ports::UniqueFd state;
  SharedMemory shared;
  Keepsakes kept;
};

Expected<Legacy> legacy(ServiceManager& manager, ServiceManager::Found found) {
  if (found.state) {
    auto shared = SharedMemory::map(found.state.get());
    if (shared) return Legacy{std::move(found.state), std::move(*shared), std::move(found.kept)};
    spdlog::warn("what the service manager has kept is let go: {}", shared.error().message);
    manager.forget_all(found.kept);
    // The service manager may have them for a moment longer: what nobody goes on with is closed for whoever is there.
    for (const auto& [place, fd] : found.kept.all()) ::shutdown(fd.get(), SHUT_RDWR);  // no socket: no harm
  }
  auto state = SharedMemory::create();
  if (!state) return tl::unexpected(state.error());
  auto shared = SharedMemory::map(state->get());
  if (!shared) return tl::unexpected(shared.error());
  manager.store_state(state->get());
  return Legacy{std::move(*state), std::move(*shared), {}};
}

/// The command line's socket instead of the configuration's, which was compared with the ports' own.
Expected<void> take_socket(const std::string& socket, Config& config) {
  const std::string claim = path_claim(socket);
  for (const PortConfig& port : config.ports) {
    if (std::ranges::find(port.claims, claim) == port.claims.end()) continue;
    return tl::unexpected(
        Error{fmt::format("--socket {}: is the path of port '{}'; right is another", socket, port.name)});
  }
  config.control_socket = socket;
  return {};
}

int run(const std::string& path, const std::optional<std::string>& socket_path, bool leaves_all) {
  start_log();
  ServiceManager manager;
  ServiceManager::Found left = manager.take_found();
  auto chosen = choose_config(path, left.config);
  if (!chosen) return kUsage;
  Config& config = chosen->config;
  if (socket_path) {
    if (auto taken = take_socket(*socket_path, config); !taken) return fail(taken.error().message);
  }
  auto kept_text = keep_config_text(chosen->text);
  if (!kept_text) return fail(kept_text.error().message);
  auto binary = own_binary();
  if (!binary) return fail(binary.error().message);

  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  ports::UniqueFd text_before = chosen->of_before ? ports::UniqueFd() : std::move(left.config);
  auto found = legacy(manager, std::move(left));
  if (!found) return fail(found.error().message);
  // Before a worker is started: that another switch is at work is found out before anything of its is touched.
  const int kept_socket = found->kept.find({kNoSlot, Kept::control_socket, 0});
  ports::UniqueFd listening(kept_socket < 0 ? -1 : ::fcntl(kept_socket, F_DUPFD_CLOEXEC, 0));
  auto socket = ListeningSocket::open_or_adopt(std::move(listening), config.control_socket);
  if (!socket) return fail(socket.error().message);

  spdlog::info("sluice " SLUICE_VERSION " runs {}; control socket {}", path, config.control_socket);
  Keeper keeper({.binary = std::move(*binary),
                 .config = path,
                 .text = std::move(*kept_text),
                 .text_before = std::move(text_before),
                 .recovery = config.recovery,
                 .control_socket = ports::UniqueFd(::dup(socket->fd())),
                 .leaves_all = leaves_all},
                manager, std::move(found->state), std::move(found->shared), std::move(found->kept));
  const int failed = keeper.run();
  if (keeper.leaves_all() && failed == 0) socket->leave_file();
  return failed == 0 ? kDone : kFailed;
}

}  // namespace

void add_run(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("run", "Run the switch, until SIGINT or SIGTERM");
  struct Options {
    std::string config;
    std::optional<std::string> socket;
    bool leaves_all = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "The configuration, YAML")->required();
  command->add_option("--socket", options->socket, "The control socket, whatever the configuration says")
      ->option_text("PATH");
  command->add_flag("--leave-to-service-manager", options->leaves_all,
                    "Told to end by SIGTERM, stay connected: systemd keeps all for the next start "
                    "(FileDescriptorStoreMax=). SIGINT is an end in order");
  command->footer(examples({"sluice run /etc/sluice/switch.yaml", "sluice run lab.yaml --socket /tmp/lab.sock"}));
  command->callback([options, &exit] { exit = run(options->config, options->socket, options->leaves_all); });
}

}  // namespace sluice::control
