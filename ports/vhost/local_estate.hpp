// LocalEstate: the estate of a port that nobody follows: its state ends with the process, and no descriptor is kept.
#pragma once

#include "ports/vhost/estate.hpp"
#include "ports/vhost/node_pages.hpp"

namespace sluice::ports::vhost {

class LocalEstate final : public Estate {
 public:
  LocalEstate() : state_(static_cast<PortState*>(map_pages(sizeof(PortState)))) {}
  ~LocalEstate() override { unmap_pages(state_, sizeof(PortState)); }
  LocalEstate(const LocalEstate&) = delete;
  LocalEstate& operator=(const LocalEstate&) = delete;

  [[nodiscard]] PortState& state() override { return *state_; }
  void keep(Heirloom /*kind*/, unsigned /*index*/, int /*fd*/) override {}
  void forget(Heirloom /*kind*/, unsigned /*index*/) override {}
  [[nodiscard]] UniqueFd take(Heirloom /*kind*/, unsigned /*index*/) override { return {}; }

 private:
  PortState* state_;  ///< pages of its own, all zero; those of rings that are never used are never touched
};

}  // namespace sluice::ports::vhost
