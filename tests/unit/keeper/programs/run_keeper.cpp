// run_keeper PROGRAM CONFIG [leave]: a keeper, whose workers are PROGRAM, whatever that is. The configuration is not
// read. With `leave`, all is left to a service manager by SIGTERM.
#include <sys/socket.h>

#include <csignal>
#include <cstdio>
#include <utility>

#include "control/keeper/config_text.hpp"
#include "control/keeper/keeper.hpp"
#include "control/log.hpp"

using namespace sluice::control;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  start_log();
  std::signal(SIGPIPE, SIG_IGN);
  ServiceManager manager;
  auto state = SharedMemory::create();
  auto shared = SharedMemory::map(state->get());
  auto binary = Binary::open(argv[1]);
  auto text = keep_config_text("as it was at the start");
  if (!shared || !binary || !text) return 3;
  Keeper keeper({.binary = std::move(*binary),
                 .config = argv[2],
                 .text = std::move(*text),
                 .recovery = {},
                 .control_socket = sluice::ports::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                 .leaves_all = argc > 3},
                manager, std::move(*state), std::move(*shared), {});
  std::puts("keeper");
  return keeper.run();
}
