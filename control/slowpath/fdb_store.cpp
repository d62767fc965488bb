#include "control/slowpath/fdb_store.hpp"

#include <utility>

namespace sluice::control {
namespace {

using flowtable::PortId;

constexpr std::uint64_t kInUse = std::uint64_t{1} << 63U;
constexpr unsigned kPortShift = 48;
/// Ticks are noted without their last bits, 16 to 65 microseconds, so that the counter of centuries fits.
constexpr unsigned kTickShift = 16;
constexpr std::uint64_t kTickMask = (std::uint64_t{1} << kPortShift) - 1;

}  // namespace

std::vector<FdbStore::Found> FdbStore::take_up() {
  free_.clear();
  if (memory_ == nullptr) return {};
  // relaxed, here and below: whoever wrote has ended, or is to come when we have.
  for (Index i = memory_->used.load(std::memory_order_relaxed); i-- > 0;) {
    if ((memory_->records[i].address.load(std::memory_order_relaxed) & kInUse) == 0) free_.push_back(i);
  }
  std::vector<Glance> nothing;
  return look_again(nothing).found;
}

FdbStore::Difference FdbStore::look_again(std::vector<Glance>& seen) const {
  Difference out;
  if (memory_ == nullptr) return out;
  seen.resize(memory_->used.load(std::memory_order_relaxed));
  for (Index i = 0; i < seen.size(); ++i) {
    const std::uint64_t address = memory_->records[i].address.load(std::memory_order_relaxed);
    const std::uint64_t place = memory_->records[i].place.load(std::memory_order_relaxed);
    const bool in_use = (address & kInUse) != 0;
    const Glance now = in_use ? Glance{address, static_cast<PortId>(place >> kPortShift)} : Glance{};
    const Glance before = std::exchange(seen[i], now);
    if (now == before) continue;
    if (before.address != 0) out.gone.push_back(FdbKey{before.address & ~kInUse});
    if (!in_use) continue;
    out.found.push_back({i, FdbKey{address & ~kInUse}, now.port, clock_.ns_at((place & kTickMask) << kTickShift)});
  }
  return out;
}

std::optional<std::uint32_t> FdbStore::changes() const {
  if (memory_ == nullptr) return 0;
  // acquire: what is read next is as new as this.
  const std::uint32_t changes = memory_->changes.load(std::memory_order_acquire);
  return (changes & 1U) == 0 ? std::optional(changes) : std::nullopt;
}

/// It is odd meanwhile, and stays so if we are killed: whatever was read before may be untrue then.
void FdbStore::begin_change() {
  memory_->changes.store(memory_->changes.load(std::memory_order_relaxed) | 1U, std::memory_order_relaxed);
  // release: before any store of the change.
  std::atomic_thread_fence(std::memory_order_release);
}

void FdbStore::end_change() {
  memory_->changes.store(memory_->changes.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

std::uint64_t FdbStore::place_of(PortId port, std::uint64_t seen_ns) const {
  return std::uint64_t{port} << kPortShift | (clock_.ticks_at(seen_ns) >> kTickShift & kTickMask);
}

FdbStore::Index FdbStore::add(FdbKey key, PortId port, std::uint64_t seen_ns) {
  if (memory_ == nullptr) return kNowhere;
  Index at = 0;
  if (!free_.empty()) {
    at = free_.back();
    free_.pop_back();
  } else {
    at = memory_->used.load(std::memory_order_relaxed);
    // One more at most than the FDB may have entries: an address that was not written down is learnt again.
    if (at == FdbMemory::kRecords) return kNowhere;
    memory_->used.store(at + 1, std::memory_order_relaxed);
  }
  FdbRecord& record = memory_->records[at];
  begin_change();
  record.place.store(place_of(port, seen_ns), std::memory_order_relaxed);
  // release: after its place and `used`, also as far as the compiler goes, since a kill knows no other order.
  record.address.store(kInUse | static_cast<std::uint64_t>(key), std::memory_order_release);
  end_change();
  return at;
}

void FdbStore::place(Index record, PortId port, std::uint64_t seen_ns) {
  if (record == kNowhere) return;
  auto& place = memory_->records[record].place;
  const bool moves = place.load(std::memory_order_relaxed) >> kPortShift != port;
  if (moves) begin_change();
  place.store(place_of(port, seen_ns), std::memory_order_release);
  if (moves) end_change();
}

void FdbStore::remove(Index record) {
  if (record == kNowhere) return;
  begin_change();
  memory_->records[record].address.store(0, std::memory_order_release);
  end_change();
  free_.push_back(record);
}

}  // namespace sluice::control
