// random_rule: rules, packets and masks made at random, so that laws can be tested over all of them. Made from bits,
// not from text: the parser has no part in it. Small value sets, so that rules and packets meet.
#pragma once

#include <random>

#include "control/rules/packet_class.hpp"
#include "control/rules/port_names.hpp"
#include "control/rules/rule.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control::testing {

using Random = std::mt19937_64;

inline constexpr flowtable::PortId kPorts = 4;

/// Ports "1" to "4" with ids 0 to 3, names that ovs-ofctl takes as well.
[[nodiscard]] PortNames numbered_ports();

[[nodiscard]] unsigned below(Random& random, unsigned n);
[[nodiscard]] inline bool one_in(Random& random, unsigned n) { return below(random, n) == 0; }

/// A rule that the syntax can express, with its prerequisites; `text` empty.
[[nodiscard]] Rule random_rule(Random& random);

/// A key as parse makes them, of this class and port.
[[nodiscard]] flowtable::FlowKey random_key(Random& random, flowtable::PacketClass c, flowtable::PortId in_port);

[[nodiscard]] flowtable::PacketClass random_class(Random& random);

/// Priority, match and actions.
[[nodiscard]] bool same_rule(const Rule& a, const Rule& b);

}  // namespace sluice::control::testing
