#include "control/slowpath/fdb.hpp"

#include <algorithm>

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

Fdb::Fdb(const Options& options) : options_(options), entries_(16, Hash{options.hash_secret}) {}

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
    erase(key);
  } else if (entries_.size() >= options_.limit) {
    make_room(port);
  }
  insert(key, port, now_ns);
  return true;
}

void Fdb::refresh(FdbKey key, PortId port, std::uint64_t seen_ns) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.port != port || found->second.heard.at_ns > seen_ns) return;
  auto& heard = found->second.heard;
  by_age_.erase({heard, key});
  of_port_[port].erase({heard, key});
  heard = {seen_ns, ++order_};
  by_age_.insert({heard, key});
  of_port_[port].insert({heard, key});
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
  const auto [port, heard] = found->second;
  auto& own = of_port_[port];
  by_age_.erase({heard, key});
  own.erase({heard, key});
  count(port, own.size() + 1, own.size());
  entries_.erase(found);
  changes_.push_back(key);
  return true;
}

std::size_t Fdb::flush() {
  for (const auto& [heard, key] : by_age_) changes_.push_back(key);
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

void Fdb::insert(FdbKey key, PortId port, std::uint64_t seen_ns) {
  if (port >= of_port_.size()) of_port_.resize(std::size_t{port} + 1);
  auto& own = of_port_[port];
  const Heard heard{seen_ns, ++order_};
  entries_.emplace(key, Place{port, heard});
  by_age_.insert({heard, key});
  own.insert({heard, key});
  count(port, own.size() - 1, own.size());
  changes_.push_back(key);
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
