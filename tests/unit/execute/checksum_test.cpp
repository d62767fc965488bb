// Checksums that are changed instead of computed anew.
#include "datapath/checksum.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace sluice {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// CRC32c bit by bit, as in RFC 9260, appendix A, but without its complements.
std::uint32_t plain_crc(const Bytes& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0x82f63b78U : crc >> 1U;
  }
  return crc;
}

TEST(Checksum, crc32c_delta_is_the_difference_of_two_messages_crcs) {
  std::mt19937 random(9);
  for (int i = 0; i < 300; ++i) {
    Bytes bytes(4 + random() % 3000);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const std::size_t at = random() % (bytes.size() - 3);
    Bytes changed = bytes;
    const auto xored = static_cast<std::uint32_t>(random());
    for (unsigned k = 0; k < 4; ++k) changed[at + k] ^= static_cast<std::uint8_t>(xored >> (8 * k));
    EXPECT_EQ(datapath::crc32c_delta(xored, static_cast<std::uint32_t>(bytes.size() - at)),
              plain_crc(bytes) ^ plain_crc(changed));
  }
}

TEST(Checksum, an_incremental_change_is_the_sum_computed_anew) {
  std::mt19937 random(10);
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes(8);
    for (auto& byte : bytes) byte = random() % 3 == 0 ? 0xff : static_cast<std::uint8_t>(random() % 2);
    bytes[7] |= 1;  // a sum of zeros alone has two forms
    const auto sum_of = [](const Bytes& b) { return datapath::fold(datapath::ones_sum(b)); };
    auto checksum = static_cast<std::uint16_t>(~sum_of(bytes));
    auto partial = sum_of(bytes);
    const Bytes before = bytes;
    bytes[2 * (random() % 3)] = random() % 2 == 0 ? 0 : 0xff;
    const std::uint64_t delta = datapath::ones_delta(before, bytes);
    datapath::update_checksum(reinterpret_cast<std::uint8_t*>(&checksum), delta);
    datapath::update_partial_sum(reinterpret_cast<std::uint8_t*>(&partial), delta);
    EXPECT_EQ(checksum, static_cast<std::uint16_t>(~sum_of(bytes)));
    EXPECT_EQ(partial, sum_of(bytes));
  }
}

}  // namespace
}  // namespace sluice
