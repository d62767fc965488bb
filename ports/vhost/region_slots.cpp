#include "ports/vhost/region_slots.hpp"

#include <algorithm>
#include <utility>

#include "ports/vhost/mapping.hpp"

namespace sluice::ports::vhost {
namespace {

void add(RegionSet& set, unsigned slot) { set[slot / 64] |= std::uint64_t{1} << (slot % 64); }
bool contains(const RegionSet& set, unsigned slot) { return (set[slot / 64] >> (slot % 64) & 1U) != 0; }

}  // namespace

const RegionSlots::Slot* RegionSlots::find(const std::vector<Slot>& slots, const std::shared_ptr<Mapping>& mapping) {
  const auto found = std::find_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.mapping == mapping; });
  return found == slots.end() ? nullptr : &*found;
}

void RegionSlots::prepare(const GuestMemory& next) {
  PortState& state = estate_.state();
  RegionSet taken{};
  for (const Slot& slot : current_) add(taken, slot.number);
  next_.clear();
  unsigned free = 0;
  for (const GuestMemory::Entry& entry : next.entries()) {
    if (const Slot* stays = find(current_, entry.mapping)) {
      next_.push_back(*stays);
      continue;
    }
    while (contains(taken, free)) ++free;  // there is one: slots are as many as two tables can name at once
    state.regions[free] = entry.region;
    estate_.keep(Heirloom::memory, free, entry.mapping->fd());
    next_.push_back(Slot{free++, entry.mapping});
  }
  RegionSet& table = state.tables[1 - (state.table & 1U)];
  table = {};
  for (const Slot& slot : next_) add(table, slot.number);
}

void RegionSlots::commit() {
  PortState& state = estate_.state();
  vhost::commit(state.table, 1 - (state.table & 1U));
  forget_those_not_in(next_, current_);
  current_ = std::exchange(next_, {});
}

void RegionSlots::cancel() {
  forget_those_not_in(current_, next_);
  next_.clear();
}

void RegionSlots::clear() {
  forget_those_not_in({}, current_);
  current_.clear();
}

void RegionSlots::forget_those_not_in(const std::vector<Slot>& slots, const std::vector<Slot>& others) {
  for (const Slot& slot : others) {
    if (find(slots, slot.mapping) == nullptr) estate_.forget(Heirloom::memory, slot.number);
  }
}

tl::expected<GuestMemory, std::string> RegionSlots::resume() {
  const PortState& state = estate_.state();
  const RegionSet table = state.tables[state.table & 1U];
  GuestMemory memory;
  std::vector<std::pair<unsigned, MemoryRegion>> numbers;
  for (unsigned slot = 0; slot < kRegionSlots; ++slot) {
    if (!contains(table, slot)) continue;
    UniqueFd fd = estate_.take(Heirloom::memory, slot);
    if (!fd) return tl::unexpected("the descriptor of memory region " + std::to_string(slot) + " was not kept");
    const MemoryRegion region = state.regions[slot];
    auto grown = memory.with(region, fd.release());
    if (!grown) return tl::unexpected(grown.error());
    memory = std::move(*grown);
    numbers.emplace_back(slot, region);
  }
  current_.clear();
  for (const GuestMemory::Entry& entry : memory.entries()) {
    const auto number =
        std::find_if(numbers.begin(), numbers.end(), [&](const auto& n) { return n.second == entry.region; });
    current_.push_back(Slot{number->first, entry.mapping});
  }
  return memory;
}

void RegionSlots::forget_strays() {
  const PortState& state = estate_.state();
  for (unsigned slot = 0; slot < kRegionSlots; ++slot) {
    if (contains(state.tables[state.table & 1U], slot)) continue;
    if (estate_.take(Heirloom::memory, slot)) estate_.forget(Heirloom::memory, slot);
  }
}

}  // namespace sluice::ports::vhost
