// Fuzzes the configuration: no text may do anything but give a Config or errors, and what is accepted keeps the
// promises of config.hpp.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/config/load.hpp"

namespace {

void check(bool promise) {
  if (!promise) std::abort();
}

void check_port(const sluice::control::PortConfig& port) {
  check(!port.name.empty() && port.name.size() <= 32);
  check(port.vhost_user.has_value() != port.ethdev.has_value());
  check(port.mtu >= 68 && port.mtu <= 9702 && port.queues >= 1);
  check((port.queue_size & (port.queue_size - 1)) == 0 && port.queue_size >= 64);
  if (port.vhost_user) check(!port.vhost_user->path.empty() && port.vhost_user->path.size() <= 107);
  if (port.ethdev)
    check(!port.ethdev->devargs.empty() && port.ethdev->devargs.find_first_of("\n\r") == std::string::npos);
  using Mode = sluice::control::VlanConfig::Mode;
  check(port.vlan.mode == Mode::trunk || (port.vlan.tag >= 1 && port.vlan.tag <= 4094 && !port.vlan.native));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = sluice::control::parse_config(text, "fuzz")) {
    for (const auto& port : config->ports) check_port(port);
    check(!config->pmd.cores.empty() && config->flows.limit > 0);
  } else {
    check(!config.error().lines.empty());
  }
  if (const auto port = sluice::control::parse_port(text)) check_port(*port);
  return 0;
}
