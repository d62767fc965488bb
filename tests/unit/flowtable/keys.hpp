// Keys for the flow table's tests: any number n to a key that differs from all others.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "flowtable/flow_table.hpp"

namespace sluice::flowtable::test {

inline constexpr HashSecret kSecret{{0x0123456789abcdefU, 0xfedcba9876543210U}};

/// Like a TCP flow; the number is in the addresses and ports, most of the rest constant.
inline FlowKey key_of(std::uint32_t n) {
  FlowKey key{};
  key.in_port = 3;
  key.packet_class = static_cast<std::uint8_t>(PacketClass::ipv4_tcp);
  key.dl_dst = {{2, 0, 0, 0, 0, 1}};
  key.dl_src = {{2, 0, 0, 0, 0, 2}};
  key.ethertype_be = 8;
  key.nw_proto = 6;
  std::memcpy(key.nw_src.data() + 12, &n, 2);
  std::memcpy(&key.tp_src_be, reinterpret_cast<const char*>(&n) + 2, 2);
  key.mask_generation = 7;
  return key;
}

inline FlowKey random_key(std::mt19937_64& random) {
  FlowKey key{};
  std::uint64_t words[8];
  for (auto& word : words) word = random();
  std::memcpy(&key, words, sizeof key);
  return key;
}

/// Keys that all have the first bucket and the tag of key_of(0), in a table of `buckets` buckets: nothing but
/// their own two buckets could take them.
inline std::vector<FlowKey> colliding_keys(const FlowTable& table, std::size_t buckets, std::size_t count) {
  const auto address = [&](std::uint32_t n) {
    const auto hash = static_cast<std::uint32_t>(table.hash_of(key_of(n)));
    return (std::uint64_t{tag_of(hash)} << 32U) | (hash & (buckets - 1));
  };
  const std::uint64_t wanted = address(0);
  std::vector<FlowKey> found;
  for (std::uint32_t n = 0; found.size() < count; ++n) {
    if (address(n) == wanted) found.push_back(key_of(n));
  }
  return found;
}

inline std::vector<const Kernel*> supported_kernels() {
  std::vector<const Kernel*> found;
  for (const Kernel* candidate : kernels()) {
    if (candidate->supported()) found.push_back(candidate);
  }
  return found;
}

}  // namespace sluice::flowtable::test
