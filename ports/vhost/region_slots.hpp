// RegionSlots: a guest's memory as it is left to a successor. Each region has a slot, under which its description and
// its descriptor are kept; which slots count is said by one word. So a successor finds the memory of before or that of
// after, and each region with the file that is its own, at whatever instant a change of memory was cut short.
//
// Control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/vhost/estate.hpp"
#include "ports/vhost/guest_memory.hpp"

namespace sluice::ports::vhost {

class RegionSlots {
 public:
  explicit RegionSlots(Estate& estate) : estate_(estate) {}

  /// Before a change: keeps the regions of `next` that are new, in slots that are free.
  void prepare(const GuestMemory& next);
  /// The memory is what was prepared from now on; what it no longer has is forgotten.
  void commit();
  /// It stays as it was; what was prepared is forgotten.
  void cancel();
  /// Forgets all.
  void clear();

  /// The memory that the state names, mapped; every region checked as if it had just come. Changes nothing but this.
  [[nodiscard]] tl::expected<GuestMemory, std::string> resume();
  /// Instead of what resume() is for: the mappings are let go, and nothing is forgotten.
  void let_go() { current_.clear(); }
  /// Forgets what a predecessor kept for a change that it did not live to make, or had made.
  void forget_strays();

 private:
  struct Slot {
    unsigned number;
    std::shared_ptr<Mapping> mapping;
  };
  static const Slot* find(const std::vector<Slot>& slots, const std::shared_ptr<Mapping>& mapping);
  void forget_those_not_in(const std::vector<Slot>& slots, const std::vector<Slot>& others);

  Estate& estate_;
  std::vector<Slot> current_;
  std::vector<Slot> next_;
};

}  // namespace sluice::ports::vhost
