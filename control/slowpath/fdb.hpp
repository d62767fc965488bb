// Fdb: the forwarding database. Which port a MAC address of a VLAN was last heard on (IEEE 802.1Q, 8.8).
//
// Slow-path thread (or the one thread of a replay); not synchronized. What it does depends on the calls alone: no
// pointer value, hash seed or clock of its own decides anything, so that a replay repeats exactly.
//
// Every change of what lookup() says is also appended to changes(), for those who decided something by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/slowpath/fdb_store.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

[[nodiscard]] FdbKey fdb_key(std::uint16_t vlan, const flowtable::MacAddress& mac);
[[nodiscard]] std::uint16_t vlan_of(FdbKey key);
[[nodiscard]] flowtable::MacAddress mac_of(FdbKey key);

class Fdb {
 public:
  struct Options {
    std::size_t limit = 8192;                   ///< entries; 0: nothing is ever learnt
    std::uint64_t ageing_ns = 300'000'000'000;  ///< 0: entries never age
    std::uint64_t hash_secret = 0;              ///< so that no guest can aim addresses at one bucket
  };
  struct Entry {
    FdbKey key;
    flowtable::PortId port;
    std::uint64_t seen_ns;
  };

  /// Whatever it says is written down in `store` as well.
  explicit Fdb(const Options& options, FdbStore store = {});

  /// Begins with what a worker before us has written down: entries that are `wanted`, still of age, and of the latest
  /// if there are more than the limit. To be called once, before anything is learnt. The others stay written down for a
  /// worker that may want them, until forget_unwanted().
  using Wanted = std::function<bool(FdbKey, flowtable::PortId)>;
  void take_up(std::uint64_t now_ns, const Wanted& wanted);
  /// Before that, while that worker may still write, as often as one likes: what lookup() is to say until then, and
  /// nothing else is to be asked or learnt. Where no address has moved since the last time, it returns at once; else it
  /// costs what FdbStore::look_again() does, and something for each that has.
  void preview(std::uint64_t now_ns, const Wanted& wanted);
  [[nodiscard]] bool previewed() const { return preview_.has_value(); }
  void forget_unwanted();

  [[nodiscard]] std::optional<flowtable::PortId> lookup(FdbKey key) const;

  /// Notes that `key` was heard on `port` at `now_ns`. True if that is news: a new entry, or one that has moved. When
  /// the table is full, the oldest entry of the port that has the most gives way; if the learning port is among those
  /// with the most, its own does. So a port that floods addresses pushes out none but its own.
  bool learn(FdbKey key, flowtable::PortId port, std::uint64_t now_ns);
  /// Keeps an entry alive if it is still on `port`. Never makes it older.
  void refresh(FdbKey key, flowtable::PortId port, std::uint64_t seen_ns);

  /// The entry that was heard longest ago, if its time is over.
  [[nodiscard]] std::optional<Entry> expired(std::uint64_t now_ns) const;
  /// When the next entry's time is over.
  [[nodiscard]] std::optional<std::uint64_t> next_expiry_ns() const;
  bool erase(FdbKey key);

  /// Both return how many entries went.
  std::size_t flush();
  std::size_t flush(flowtable::PortId port);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// All entries, by VLAN and address.
  [[nodiscard]] std::vector<Entry> entries() const;

  /// Keys that lookup() now answers differently, or may, in order since the last call; a key may be there twice.
  [[nodiscard]] std::vector<FdbKey> take_changes() { return std::exchange(changes_, {}); }

 private:
  /// Of what was heard at one time, what was told first is older: of two addresses that one packet teaches, the second
  /// does not push out the first.
  struct Heard {
    std::uint64_t at_ns;
    std::uint64_t order;
    auto operator<=>(const Heard&) const = default;
  };
  struct Place {
    flowtable::PortId port;
    Heard heard;
    FdbStore::Index record;
  };
  struct Hash {
    std::uint64_t secret;
    std::size_t operator()(FdbKey key) const;
  };
  using ByAge = std::set<std::pair<Heard, FdbKey>>;

  [[nodiscard]] bool aged(const FdbStore::Found& entry, std::uint64_t now_ns) const;
  [[nodiscard]] std::vector<FdbStore::Found> take_surplus(std::vector<FdbStore::Found>& found, std::uint64_t now_ns,
                                                          const Wanted& wanted) const;
  [[nodiscard]] std::vector<FdbStore::Found> begin_with(std::span<const FdbStore::Found> found);
  void set_aside(std::span<const FdbStore::Found> entries);
  void insert(FdbKey key, flowtable::PortId port, std::uint64_t seen_ns, FdbStore::Index record);
  void move(FdbKey key, Place& place, flowtable::PortId port, std::uint64_t now_ns);
  void leave(FdbKey key, const Place& place);
  void enter(FdbKey key, const Place& place);
  void make_room(flowtable::PortId learner);
  void count(flowtable::PortId port, std::size_t before, std::size_t after);

  Options options_;
  FdbStore store_;
  std::unordered_map<FdbKey, Place, Hash> entries_;
  std::unordered_map<FdbKey, FdbStore::Index, Hash> unwanted_;  ///< written down, and no entries
  ByAge by_age_;
  std::vector<ByAge> of_port_;                                    ///< by PortId
  std::set<std::pair<std::size_t, flowtable::PortId>> by_count_;  ///< ports that have entries
  std::vector<FdbKey> changes_;
  std::uint64_t order_ = 0;
  struct Preview {
    std::optional<std::uint32_t> changes;  ///< what the store said of them
    std::vector<FdbStore::Glance> records;
  };
  /// There was one, and nothing has been taken up yet: no entry has a record, and none is in an order of age.
  std::optional<Preview> preview_;
};

}  // namespace sluice::control
