// make_port: from a port's configuration to the port. Control thread.
#pragma once

#include <memory>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "ports/port.hpp"
#include "ports/port_pools.hpp"

namespace sluice::control {

/// Opens what `config` describes. `pools` gives an ethdev its buffers and outlives the port.
[[nodiscard]] Expected<std::unique_ptr<ports::Port>> make_port(const PortConfig& config, const ports::PortHost& host,
                                                               ports::PortPools& pools);

}  // namespace sluice::control
