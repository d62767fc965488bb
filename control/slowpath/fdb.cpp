#include "control/slowpath/fdb.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice::control {

using flowtable::MacAddress;
using flowtable::PortId;

FdbKey fdb_key(std::uint16_t vlan, const MacAddress& mac) {
  std::uint64_t word = vlan & 0x0fffU;
  for (const auto byte : mac.bytes) word = word << 8U | byte;
  return FdbKey{word};
}

std::uint16_t vlan_of(FdbKey key) {
  return static_cast<std::uint16_t>(static_cast<std::uint64_t>(key) >> 48U & 0x0fffU);
}

MacAddress mac_of(FdbKey key) {
  MacAddress mac{};
  auto word = static_cast<std::uint64_t>(key);
  for (std::size_t i = mac.bytes.size(); i-- > 0; word >>= 8U) mac.bytes[i] = static_cast<std::uint8_t>(word);
  return mac;
}

std::size_t Fdb::Hash::operator()(FdbKey key) const {
  // Multiply and fold with a secret: what collides cannot be found from outside.
  const auto product = static_cast<unsigned __int128>(static_cast<std::uint64_t>(key) ^ secret) *
                       ((secret >> 7U) | 0x9e37'79b9'0000'0001ULL);
  return static_cast<std::size_t>(product ^ (product >> 64U));
}

Fdb::Fdb(const Options& options, FdbStore store)
    : options_(options),
      store_(std::move(store)),
      entries_(16, Hash{options.hash_secret}),
      unwanted_(0, entries_.hash_function()) {}

bool Fdb::aged(const FdbStore::Found& entry, std::uint64_t now_ns) const {
  return options_.ageing_ns != 0 && entry.seen_ns + options_.ageing_ns <= now_ns;
}

void Fdb::preview(std::uint64_t now_ns, const Wanted& wanted) {
  const auto changes = store_.changes();
  if (preview_ && changes && preview_->changes == changes) return;
  if (!preview_) preview_.emplace();
  preview_->changes = changes;
  auto [gone, found] = store_.look_again(preview_->records);
  for (const FdbKey key : gone) {
    if (entries_.erase(key) != 0) changes_.push_back(key);
  }
  static_cast<void>(take_surplus(found, now_ns, wanted));
  for (const auto& one : found) {
    entries_.insert_or_assign(one.key, Place{one.port, {one.seen_ns, 0}, FdbStore::kNowhere});
    changes_.push_back(one.key);
  }
}

void Fdb::take_up(std::uint64_t now_ns, const Wanted& wanted) {
  preview_.reset();
  const auto previewed = std::exchange(entries_, decltype(entries_)(0, entries_.hash_function()));
  auto found = store_.take_up();
  set_aside(take_surplus(found, now_ns, wanted));
  set_aside(begin_with(found));
  for (const auto& one : found) {
    const auto before = previewed.find(one.key);
    if (before == previewed.end() || before->second.port != entries_.at(one.key).port) changes_.push_back(one.key);
  }
  for (const auto& [key, place] : previewed) {
    if (!entries_.contains(key)) changes_.push_back(key);
  }
}

/// What is not to be an entry. What is left is sorted by when it was last heard.
std::vector<FdbStore::Found> Fdb::take_surplus(std::vector<FdbStore::Found>& found, std::uint64_t now_ns,
                                               const Wanted& wanted) const {
  std::vector<FdbStore::Found> surplus;
  for (auto& entry : found) entry.seen_ns = std::min(entry.seen_ns, now_ns);
  std::erase_if(found, [&](const FdbStore::Found& entry) {
    if (!aged(entry, now_ns) && wanted(entry.key, entry.port)) return false;
    surplus.push_back(entry);
    return true;
  });
  std::ranges::sort(found, {}, &FdbStore::Found::seen_ns);
  if (found.size() <= options_.limit) return surplus;
  const auto oldest = static_cast<std::ptrdiff_t>(found.size() - options_.limit);
  surplus.insert(surplus.end(), found.begin(), found.begin() + oldest);
  found.erase(found.begin(), found.begin() + oldest);
  return surplus;
}

/// Has these as entries, from the oldest to the latest. Returns those whose address is there once more: the latest
/// counts.
std::vector<FdbStore::Found> Fdb::begin_with(std::span<const FdbStore::Found> found) {
  std::vector<FdbStore::Found> doubled;
  entries_.reserve(found.size());
  for (const auto& one : found) {
    const Place place{one.port, {one.seen_ns, ++order_}, one.record};
    const auto [entry, is_new] = entries_.try_emplace(one.key, place);
    if (!is_new) {
      const Place older = std::exchange(entry->second, place);
      doubled.push_back({older.record, one.key, older.port, older.heard.at_ns});
      leave(one.key, older);
    }
    enter(one.key, place);
  }
  return doubled;
}

void Fdb::set_aside(std::span<const FdbStore::Found> entries) {
  for (const auto& entry : entries) {
    if (!unwanted_.emplace(entry.key, entry.record).second) store_.remove(entry.record);
  }
}

void Fdb::forget_unwanted() {
  for (const auto& [key, record] : unwanted_) store_.remove(record);
  unwanted_.clear();
}

std::optional<PortId> Fdb::lookup(FdbKey key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second.port;
}

bool Fdb::learn(FdbKey key, PortId port, std::uint64_t now_ns) {
  if (options_.limit == 0) return false;
  if (const auto found = entries_.find(key); found != entries_.end()) {
    if (found->second.port == port) {
      refresh(key, port, now_ns);
      return false;
    }
    move(key, found->second, port, now_ns);
    return true;
  }
  if (entries_.size() >= options_.limit) make_room(port);
  insert(key, port, now_ns, store_.add(key, port, now_ns));
  return true;
}

void Fdb::refresh(FdbKey key, PortId port, std::uint64_t seen_ns) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.port != port || found->second.heard.at_ns > seen_ns) return;
  auto& [where, heard, record] = found->second;
  store_.place(record, port, seen_ns);
  by_age_.erase({heard, key});
  of_port_[port].erase({heard, key});
  heard = {seen_ns, ++order_};
  by_age_.insert(by_age_.end(), {heard, key});
  of_port_[port].insert(of_port_[port].end(), {heard, key});
}

void Fdb::move(FdbKey key, Place& place, PortId port, std::uint64_t now_ns) {
  store_.place(place.record, port, now_ns);
  leave(key, place);
  place = {port, {now_ns, ++order_}, place.record};
  enter(key, place);
  changes_.push_back(key);
}

std::optional<Fdb::Entry> Fdb::expired(std::uint64_t now_ns) const {
  const auto next = next_expiry_ns();
  if (!next || *next > now_ns) return std::nullopt;
  const auto& [heard, key] = *by_age_.begin();
  return Entry{key, entries_.at(key).port, heard.at_ns};
}

std::optional<std::uint64_t> Fdb::next_expiry_ns() const {
  if (options_.ageing_ns == 0 || by_age_.empty()) return std::nullopt;
  return by_age_.begin()->first.at_ns + options_.ageing_ns;
}

bool Fdb::erase(FdbKey key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return false;
  store_.remove(found->second.record);
  leave(key, found->second);
  entries_.erase(found);
  changes_.push_back(key);
  return true;
}

std::size_t Fdb::flush() {
  forget_unwanted();
  for (const auto& [heard, key] : by_age_) changes_.push_back(key);
  for (const auto& [key, place] : entries_) store_.remove(place.record);
  const auto gone = entries_.size();
  entries_.clear();
  by_age_.clear();
  of_port_.clear();
  by_count_.clear();
  return gone;
}

std::size_t Fdb::flush(PortId port) {
  if (port >= of_port_.size()) return 0;
  const auto gone = of_port_[port];
  for (const auto& [heard, key] : gone) erase(key);
  return gone.size();
}

std::vector<Fdb::Entry> Fdb::entries() const {
  std::vector<Entry> all;
  all.reserve(entries_.size());
  for (const auto& [key, place] : entries_) all.push_back({key, place.port, place.heard.at_ns});
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  return all;
}

void Fdb::insert(FdbKey key, PortId port, std::uint64_t seen_ns, FdbStore::Index record) {
  const Place place{port, {seen_ns, ++order_}, record};
  entries_.emplace(key, place);
  if (const auto before = unwanted_.extract(key); !before.empty()) store_.remove(before.mapped());
  enter(key, place);
  changes_.push_back(key);
}

void Fdb::enter(FdbKey key, const Place& place) {
  if (place.port >= of_port_.size()) of_port_.resize(std::size_t{place.port} + 1);
  auto& own = of_port_[place.port];
  by_age_.insert(by_age_.end(), {place.heard, key});  // as a rule, nothing was heard later
  own.insert(own.end(), {place.heard, key});
  count(place.port, own.size() - 1, own.size());
}

void Fdb::leave(FdbKey key, const Place& place) {
  auto& own = of_port_[place.port];
  by_age_.erase({place.heard, key});
  own.erase({place.heard, key});
  count(place.port, own.size() + 1, own.size());
}

void Fdb::make_room(PortId learner) {
  const auto most = by_count_.rbegin()->first;
  const bool learner_has_most = learner < of_port_.size() && of_port_[learner].size() == most;
  const PortId loser = learner_has_most ? learner : by_count_.lower_bound({most, 0})->second;
  erase(of_port_[loser].begin()->second);
}

void Fdb::count(PortId port, std::size_t before, std::size_t after) {
  if (before != 0) by_count_.erase({before, port});
  if (after != 0) by_count_.insert({after, port});
}

}  // namespace sluice::control
