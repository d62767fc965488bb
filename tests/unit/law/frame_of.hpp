// frame_of: from a key back to a frame that parse would give that key to. A second, opposite reading of what parse
// promises, so that random keys become packets of every class.
#pragma once

#include <cstdint>
#include <vector>

#include "flowtable/flow_key.hpp"
#include "tests/unit/rules/random_rule.hpp"

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

/// A random key of any class that a whole or a cut-off packet can have, with up to two tags.
[[nodiscard]] flowtable::FlowKey random_packet_key(control::testing::Random& random, flowtable::PortId in_port);

/// The frame. `payload` zero bytes follow the headers, outside of any header and, where the class says that a header
/// is cut off, outside of the packet as well; at least 20.
[[nodiscard]] Bytes frame_of(const flowtable::FlowKey& key, std::size_t payload);

}  // namespace sluice::test
