#include "control/slowpath/table_memory.hpp"

namespace sluice::control {
namespace {

// Entries ahead of the last one that we have heard of: at a million new flows a second, 12 ms. Less than a page, so
// that a table of few flows has one.
constexpr std::size_t kAhead = flowtable::FlowTable::kEntriesAPage * 3 / 4;

}  // namespace

bool TableMemory::run(const FlowRecords& records) {
  bool any = false;
  for (std::size_t pmd = 0; pmd < pmds_.size(); ++pmd) {
    const auto& table = *pmds_[pmd].table;
    auto& ready = ready_[pmd];
    if (ready >= table.capacity() || records.places(pmd) + kAhead <= ready) continue;
    table.take_up(ready, flowtable::FlowTable::kEntriesAPage);
    ready += flowtable::FlowTable::kEntriesAPage;
    any = true;
  }
  return any;
}

}  // namespace sluice::control
