// Draws the hash's key out of the secret. Runs once a table.
#include "flowtable/hash.hpp"

#include <bit>

#include "flowtable/kernel.hpp"

namespace sluice::flowtable {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

}  // namespace

HashKey::HashKey(const HashSecret& secret) {
  std::uint64_t a = secret.words[0];
  std::uint64_t b = secret.words[1];
  const auto draw = [&] {
    a += 0x9e3779b97f4a7c15U;
    b = std::rotl(b, 29) + 0xd1342543de82ef95U;
    return mixed(a ^ mixed(b));
  };
  for (auto& word : lanes) word = draw();
  for (auto& word : rounds) word = draw();
}

std::uint64_t hash(const FlowKey& key, const HashSecret& secret) { return kernel().hash(key, HashKey(secret)); }

}  // namespace sluice::flowtable
