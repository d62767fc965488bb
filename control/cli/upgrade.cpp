// `sluice upgrade`: a running switch goes on as another program, or with its configuration read anew.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/rpc/client.hpp"

namespace sluice::control {
namespace {

struct UpgradeOptions {
  std::string socket;
  std::string binary;
  std::uint64_t seconds = 30;
};

/// What devices, which are closed and opened again, hand-over and proof may take beyond the time that the new version
/// has to make itself ready; see keeper/keeper_upgrade.cpp.
constexpr std::chrono::seconds kMargin{80};

int upgrade(const UpgradeOptions& options) {
  auto client = RpcClient::connect(options.socket);
  if (!client) return fail(client.error().message);
  Json params{{"seconds", options.seconds}};
  // The switch has a working directory of its own.
  if (!options.binary.empty()) params["binary"] = std::filesystem::absolute(options.binary).string();
  const auto result = client->call("upgrade", params, std::chrono::seconds(options.seconds) + kMargin);
  if (!result) return fail(result.error().message);

  auto again = RpcClient::connect(options.socket);
  if (!again) return fail(again.error().message);
  const auto status = again->call("status", Json::object());
  if (!status) return fail(status.error().message);
  fmt::print("version {} has taken over, pid {}\n", status->value("version", "?"), status->value("pid", 0));
  return kDone;
}

}  // namespace

void add_upgrade(CLI::App& app, int& exit) {
  CLI::App* command =
      app.add_subcommand("upgrade", "Replace a running switch by a new version, or read its configuration anew");
  auto options = std::make_shared<UpgradeOptions>();
  add_socket_option(*command, options->socket);
  command->add_option("--binary", options->binary, "The new version [what is now where the switch was first started]")
      ->check(CLI::ExistingFile)
      ->option_text("FILE");
  command->add_option("--timeout", options->seconds, "How long the new version may take to be ready")
      ->check(CLI::Range(1, 600))
      ->option_text("SECONDS [30]");
  command->footer(
      "The new version starts beside the old one. When it is ready, the old one stops at the end of a burst and the "
      "new\n"
      "one goes on with all connections and rings; if it does not come up, the old one goes on instead.\n\n" +
      examples({"sluice upgrade                                  after a new package or an edited configuration",
                "sluice upgrade --binary build/release/sluice"}));
  command->callback([options, &exit] { exit = upgrade(*options); });
}

}  // namespace sluice::control
