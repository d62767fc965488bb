// FdbStore: the FDB written down, entry by entry, in memory that outlives a worker, so that the next one does not
// flood. Slow-path thread.
//
// A record is two words. What a worker that is killed between any two stores leaves is what the FDB was before the
// change that it was about to note, or after it: an entry is there once its address is stored, which is last, and gone
// with its address; that it moved, or was heard again, is one store.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// A VLAN and an address in one word: the VLAN in bits 48 to 59, the address below.
enum class FdbKey : std::uint64_t {};

struct FdbRecord {
  std::atomic<std::uint64_t> address;  ///< bit 63: in use; below: an FdbKey
  std::atomic<std::uint64_t> place;    ///< bits 48 to 63: the port; below: when it was last heard
};

/// All zero when new.
struct FdbMemory {
  static constexpr std::size_t kRecords = std::size_t{1} << 20U;

  std::atomic<std::uint32_t> used;     ///< no record from here on was ever written
  std::atomic<std::uint32_t> changes;  ///< counted up before and after each change of where an address is
  std::array<FdbRecord, kRecords> records;
};

/// Two processes of one machine count nanoseconds differently, each by its own measure of the time stamp counter. What
/// they write down for each other is that counter.
struct FdbClock {
  std::uint64_t (*ticks_at)(std::uint64_t ns) = [](std::uint64_t ns) { return ns; };
  std::uint64_t (*ns_at)(std::uint64_t ticks) = [](std::uint64_t ticks) { return ticks; };
};

class FdbStore {
 public:
  using Index = std::uint32_t;
  struct Found {
    Index record;
    FdbKey key;
    flowtable::PortId port;
    std::uint64_t seen_ns;
  };

  /// Without memory: notes nothing, and finds nothing.
  FdbStore() = default;
  FdbStore(FdbMemory& memory, const FdbClock& clock) : memory_(&memory), clock_(clock) {}

  /// There is no record: of a store without memory, and of what is written down nowhere.
  static constexpr Index kNowhere = ~Index{0};

  /// What a worker before us has noted, before anything else.
  [[nodiscard]] std::vector<Found> take_up();

  /// What a record said when it was looked at last, but for when the address was heard.
  struct Glance {
    std::uint64_t address;
    flowtable::PortId port;
    bool operator==(const Glance&) const = default;
  };
  struct Difference {
    std::vector<FdbKey> gone;  ///< from where they were; may be found elsewhere
    std::vector<Found> found;
  };
  /// Before take_up(), while that worker still writes: how what it has noted differs from `seen`, which is brought up
  /// to date. As good as true. Takes 16 bytes a record to look at, and no time for those that say the same.
  [[nodiscard]] Difference look_again(std::vector<Glance>& seen) const;
  /// Nothing that was seen after this was said has become untrue if it is said again: no address is new, gone or
  /// elsewhere. Nothing while that is about to change.
  [[nodiscard]] std::optional<std::uint32_t> changes() const;

  [[nodiscard]] Index add(FdbKey key, flowtable::PortId port, std::uint64_t seen_ns);
  /// Heard again, here or elsewhere.
  void place(Index record, flowtable::PortId port, std::uint64_t seen_ns);
  void remove(Index record);

 private:
  [[nodiscard]] std::uint64_t place_of(flowtable::PortId port, std::uint64_t seen_ns) const;
  void begin_change();
  void end_change();

  FdbMemory* memory_ = nullptr;
  FdbClock clock_;
  std::vector<Index> free_;  ///< below memory_->used; the next to be used last
};

}  // namespace sluice::control
