// PortNames: two maps that are changed together.
#include "control/rules/port_names.hpp"

#include <fmt/format.h>

namespace sluice::control {

bool PortNames::add(std::string_view name, flowtable::PortId id) {
  if (ids_.contains(name) || names_.contains(id)) return false;
  ids_.emplace(name, id);
  names_.emplace(id, name);
  return true;
}

bool PortNames::remove(flowtable::PortId id) {
  const auto found = names_.find(id);
  if (found == names_.end()) return false;
  ids_.erase(found->second);
  names_.erase(found);
  return true;
}

std::optional<flowtable::PortId> PortNames::id(std::string_view name) const {
  const auto found = ids_.find(name);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::string PortNames::name(flowtable::PortId id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? fmt::format("port {} (gone)", id) : found->second;
}

}  // namespace sluice::control
