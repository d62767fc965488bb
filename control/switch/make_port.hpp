// make_port: from a port's configuration to the port. Control thread.
#pragma once

#include <memory>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "ports/port.hpp"
#include "ports/port_pools.hpp"
#include "ports/vhost/estate.hpp"

namespace sluice::control {

/// Opens an ethdev as `config` describes it. `pools` gives it its buffers and outlives the port.
[[nodiscard]] Expected<std::unique_ptr<ports::Port>> open_ethdev(const PortConfig& config, const ports::PortHost& host,
                                                                 ports::PortPools& pools);
/// In what state of affairs a vhost-user port is made: see ports::vhost::VhostPortOptions.
struct Circumstances {
  bool has_time = false;
  bool has_to_go_on = false;
};
/// Makes a vhost-user port ready to be activated. `estate` outlives it.
[[nodiscard]] Expected<std::unique_ptr<ports::Port>> prepare_vhost_user(const PortConfig& config,
                                                                        const ports::PortHost& host,
                                                                        ports::vhost::Estate& estate,
                                                                        const Circumstances& circumstances = {});
/// A port that is not to be any more, of whatever type: nobody shall find anything of it.
void abandon_port(ports::vhost::Estate& estate);

}  // namespace sluice::control
