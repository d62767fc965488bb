#include "control/slowpath/table_memory.hpp"

namespace sluice::control {
namespace {

// Entries ahead of the last one that we have heard of: at a million new flows a second, 12 ms. Less than a page, so
// that a table of few flows has one.
constexpr std::size_t kAhead = flowtable::FlowTable::kEntriesAPage * 3 / 4;

}  // namespace

TableMemory::TableMemory(std::span<const PmdLink> pmds) : pmds_(pmds), ready_(pmds.size()) {
  for (std::size_t pmd = 0; pmd < pmds.size(); ++pmd) take_page(pmd);
}

bool TableMemory::run(const FlowRecords& records) {
  bool any = false;
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    if (ready_[pmd] >= pmds_[pmd].table->capacity() || records.places(pmd) + kAhead <= ready_[pmd]) continue;
    take_page(pmd);
    any = true;
  }
  return any;
}

void TableMemory::take_page(std::size_t pmd) {
  pmds_[pmd].table->take_up(ready_[pmd], flowtable::FlowTable::kEntriesAPage);
  ready_[pmd] += flowtable::FlowTable::kEntriesAPage;
}

}  // namespace sluice::control
