// run_keeper PROGRAM CONFIG [leave|inherit|impatient]: a keeper, whose workers are PROGRAM, whatever that is. The
// configuration is not read. With `leave`, all is left to a service manager by SIGTERM; with `inherit`, a keeper before
// this one left a guest's connection, in slot 1, and the configuration that it had; with `impatient`, a worker is given
// 2.5 s to be ready, and to open its devices.
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <utility>

#include "control/keeper/config_text.hpp"
#include "control/keeper/keeper.hpp"
#include "control/log.hpp"

using namespace sluice::control;
using sluice::ports::UniqueFd;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string_view how = argc > 3 ? argv[3] : "";
  start_log();
  std::signal(SIGPIPE, SIG_IGN);
  ServiceManager manager;
  auto state = SharedMemory::create();
  auto shared = SharedMemory::map(state->get());
  auto binary = Binary::open(argv[1]);
  auto text = keep_config_text("as it was at the start");
  if (!shared || !binary || !text) return 3;
  Keepsakes found;
  UniqueFd before;
  if (how == "inherit") {
    Received connection{{.saying = Saying::keep, .kind = Kept::connection, .slot = 1},
                        {},
                        UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    auto kept = keep_config_text("as it was before");
    if (!found.apply(connection) || !kept) return 4;
    before = std::move(*kept);
  }
  Keeper keeper({.binary = std::move(*binary),
                 .config = argv[2],
                 .text = std::move(*text),
                 .text_before = std::move(before),
                 .recovery = {},
                 .control_socket = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                 .leaves_all = how == "leave",
                 .start_patience = std::chrono::milliseconds(how == "impatient" ? 2'500 : 60'000)},
                manager, std::move(*state), std::move(*shared), std::move(found));
  std::puts("keeper");
  return keeper.run();
}
