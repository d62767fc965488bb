// Outcome: what the pipeline says of a packet, and what it said it by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/slowpath/fdb.hpp"
#include "flowtable/action.hpp"

namespace sluice::control {

/// Something outside of the packet and the rules that a decision was made by. When it changes, the decision is made
/// again.
struct Dependency {
  enum class Kind : std::uint8_t {
    source,       ///< this address being known on the in-port
    destination,  ///< where this address is, or that it is nowhere
    flood,        ///< which ports carry this VLAN, and how
    ports,        ///< which ports there are
  };
  Kind kind;
  FdbKey key{};  ///< source, destination: of the FDB. flood: the VLAN alone, the address zero.

  bool operator==(const Dependency&) const = default;
  /// Both in one word; distinct for distinct dependencies.
  [[nodiscard]] std::uint64_t word() const {
    return static_cast<std::uint64_t>(kind) << 60U | static_cast<std::uint64_t>(key);
  }
};

struct Outcome {
  std::vector<flowtable::Action> actions;  ///< never empty
  std::vector<Dependency> dependencies;
  std::vector<FdbKey> learn;  ///< sources to be learnt on the in-port
};

/// Where the pipeline writes what it does and why, a line a step. Null: nowhere.
using Trace = std::vector<std::string>;

}  // namespace sluice::control
