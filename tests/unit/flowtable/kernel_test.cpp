// Every kernel that this CPU has does the same: hashes, masks.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <optional>
#include <set>

#include "flowtable/mask.hpp"
#include "tests/unit/flowtable/keys.hpp"

namespace sluice::flowtable::test {
namespace {

TEST(Kernels, the_last_supported_one_is_picked_and_named) {
  ASSERT_FALSE(supported_kernels().empty());
  EXPECT_EQ(&kernel(), supported_kernels().back());
  EXPECT_EQ(instruction_set(), kernel().name);
}

TEST(Kernels, baseline_runs_everywhere) { EXPECT_TRUE(kernels().front()->supported()); }

TEST(Kernels, all_with_aes_give_the_same_hash) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1000; ++round) {
    const FlowKey key = random_key(random);
    const HashKey hash_key(HashSecret{{random(), random()}});
    std::optional<std::uint64_t> expected;
    for (const Kernel* candidate : supported_kernels()) {
      if (candidate == &kKernelBaseline) continue;
      if (!expected) expected = candidate->hash(key, hash_key);
      ASSERT_EQ(candidate->hash(key, hash_key), expected) << candidate->name;
    }
  }
}

// Each of the bits of a key but those of mask_generation moves each of the 64 bits of its hash about every second time.
TEST(Kernels, every_bit_of_the_key_moves_every_bit_of_the_hash) {
  constexpr int kRounds = 400;
  for (const Kernel* candidate : supported_kernels()) {
    std::mt19937_64 random(2);
    const HashKey hash_key(kSecret);
    for (std::size_t bit = 0; bit < 496; bit += 3) {
      std::array<int, 64> flips{};
      for (int round = 0; round < kRounds; ++round) {
        FlowKey key = random_key(random);
        const std::uint64_t before = candidate->hash(key, hash_key);
        reinterpret_cast<std::uint8_t*>(&key)[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        const std::uint64_t changed = before ^ candidate->hash(key, hash_key);
        for (std::size_t i = 0; i < 64; ++i) flips[i] += static_cast<int>((changed >> i) & 1U);
      }
      for (std::size_t i = 0; i < 64; ++i) {
        ASSERT_NEAR(flips[i], kRounds / 2, kRounds * 3 / 20) << candidate->name << ": bit " << bit << " on " << i;
      }
    }
  }
}

TEST(Kernels, hash_is_the_same_for_every_generation_of_a_mask) {
  std::mt19937_64 random(4);
  for (const Kernel* candidate : supported_kernels()) {
    FlowKey key = random_key(random);
    const std::uint64_t hash = candidate->hash(key, HashKey(kSecret));
    for (unsigned bit = 0; bit < 16; ++bit) {
      key.mask_generation = static_cast<std::uint16_t>(key.mask_generation ^ (1U << bit));
      EXPECT_EQ(candidate->hash(key, HashKey(kSecret)), hash) << candidate->name << ": bit " << bit;
    }
  }
}

TEST(Kernels, hash_depends_on_every_bit_of_the_secret_and_on_the_order_of_a_keys_blocks) {
  const FlowKey key = key_of(5);
  FlowKey exchanged = key;
  std::swap(exchanged.nw_src, exchanged.nw_dst);  // not whole lanes, but words
  for (const Kernel* candidate : supported_kernels()) {
    std::set<std::uint64_t> seen{candidate->hash(key, HashKey(kSecret)), candidate->hash(exchanged, HashKey(kSecret))};
    for (std::size_t bit = 0; bit < 128; ++bit) {
      HashSecret secret = kSecret;
      secret.words[bit / 64] ^= std::uint64_t{1} << (bit % 64);
      seen.insert(candidate->hash(key, HashKey(secret)));
    }
    auto lanes = std::bit_cast<std::array<std::array<std::uint8_t, 16>, 4>>(key);
    for (std::size_t a = 0; a < 4; ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        std::swap(lanes[a], lanes[b]);
        seen.insert(candidate->hash(std::bit_cast<FlowKey>(lanes), HashKey(kSecret)));
        std::swap(lanes[a], lanes[b]);
      }
    }
    EXPECT_EQ(seen.size(), 2U + 128U + 6U) << candidate->name;
  }
}

TEST(Kernels, mask_is_key_and_mask_with_the_masks_generation) {
  std::mt19937_64 random(3);
  for (const Kernel* candidate : supported_kernels()) {
    for (std::size_t size = 0; size <= 33; ++size) {
      std::vector<FlowKey> keys(size);
      std::vector<ClassMask> masks(size);
      std::vector<const ClassMask*> pointers(size);
      std::vector<FlowKey> out(size);
      for (std::size_t i = 0; i < size; ++i) {
        keys[i] = random_key(random);
        masks[i] = {random_key(random), static_cast<std::uint16_t>(random())};
        pointers[i] = &masks[i];
      }
      candidate->mask(keys.data(), pointers.data(), size, out.data());
      for (std::size_t i = 0; i < size; ++i) {
        FlowKey expected = masked(keys[i], masks[i].mask);
        expected.mask_generation = masks[i].generation;
        ASSERT_EQ(out[i], expected) << candidate->name << ": " << i << " of " << size;
      }
      candidate->mask(keys.data(), pointers.data(), size, keys.data());
      ASSERT_EQ(keys, out) << candidate->name << ", in place";
    }
  }
}

}  // namespace
}  // namespace sluice::flowtable::test
