// PortNames: which name is which port, both ways. Rules are written in names and matched by ids.
//
// A value: each thread that needs one has its own. The slow path changes its own when ports come and go.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "flowtable/flow_key.hpp"

namespace sluice::control {

class PortNames {
 public:
  /// False, and nothing changes, if the name or the id is taken.
  bool add(std::string_view name, flowtable::PortId id);
  /// Forgets a port; false if there is none with this id.
  bool remove(flowtable::PortId id);

  [[nodiscard]] std::optional<flowtable::PortId> id(std::string_view name) const;
  /// The name, or "port 7 (gone)" for an id that is not there: flows and rules may outlive a port for a moment.
  [[nodiscard]] std::string name(flowtable::PortId id) const;
  /// All of them, by name.
  [[nodiscard]] const std::map<std::string, flowtable::PortId, std::less<>>& all() const { return ids_; }

 private:
  std::map<std::string, flowtable::PortId, std::less<>> ids_;
  std::map<flowtable::PortId, std::string> names_;
};

}  // namespace sluice::control
