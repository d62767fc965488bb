// Keepsakes: descriptors by what they are. The keeper's store, and a worker's picture of it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>

#include "control/keeper/message.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

struct KeptPlace {
  std::uint32_t slot;
  Kept kind;
  std::uint32_t index;

  auto operator<=>(const KeptPlace&) const = default;
};

class Keepsakes {
 public:
  /// Does what a message of keep, forget or forget_slot says; false if it is none of these.
  bool apply(Received& received);
  void forget_slot(std::uint32_t slot);
  /// -1: there is none.
  [[nodiscard]] int find(const KeptPlace& place) const;
  /// Takes it out.
  [[nodiscard]] ports::UniqueFd take(const KeptPlace& place);
  [[nodiscard]] const std::map<KeptPlace, ports::UniqueFd>& all() const { return kept_; }
  void clear() { kept_.clear(); }

 private:
  std::map<KeptPlace, ports::UniqueFd> kept_;
};

}  // namespace sluice::control
