// make_port: from a port's configuration to the port. Control thread.
#pragma once

#include <memory>

#include "control/config/config.hpp"
#include "control/error.hpp"
#include "ports/port.hpp"

struct rte_mempool;

namespace sluice::control {

/// Opens what `config` describes. `pool` gives an ethdev its buffers and outlives the port.
[[nodiscard]] Expected<std::unique_ptr<ports::Port>> make_port(const PortConfig& config, const ports::PortHost& host,
                                                               rte_mempool* pool);

}  // namespace sluice::control
