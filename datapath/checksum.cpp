#include "datapath/checksum.hpp"

#include <array>
#include <bit>
#include <cstddef>

namespace sluice::datapath {

namespace {

std::uint16_t load16(const std::uint8_t* p) {
  std::uint16_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

void store16(std::uint8_t* p, std::uint16_t word) { std::memcpy(p, &word, sizeof word); }

constexpr std::uint16_t to_wire(std::uint16_t host) { return static_cast<std::uint16_t>(host << 8U | host >> 8U); }
static_assert(std::endian::native == std::endian::little);

/// CRC32c's polynomial with the bits in the order they are sent: the top bit is x^0.
constexpr std::uint32_t kCastagnoli = 0x82f63b78;

/// a * b modulo the polynomial.
constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 1U << 31U; bit != 0; bit >>= 1U) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1U) != 0 ? (b >> 1U) ^ kCastagnoli : b >> 1U;
  }
  return product;
}

/// [n]: x^(8 * 2^n), what a CRC is multiplied with when 2^n zero bytes follow.
constexpr auto kZeroBytes = [] {
  std::array<std::uint32_t, 32> powers{};
  powers[0] = 1U << 23U;
  for (std::size_t n = 1; n < powers.size(); ++n) powers[n] = multiply(powers[n - 1], powers[n - 1]);
  return powers;
}();

}  // namespace

std::uint64_t ones_sum(std::span<const std::uint8_t> bytes) {
  // 32-bit words are as good as 16-bit ones, as 2^16 = 1 in one's complement; 64 bits hold 2^32 of them.
  std::uint64_t sum = 0;
  const std::uint8_t* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 4; left -= 4, p += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, p, sizeof word);
    sum += word;
  }
  if (left != 0) {
    std::uint32_t word = 0;
    std::memcpy(&word, p, left);
    sum += word;
  }
  return sum;
}

std::uint64_t ones_delta(std::span<const std::uint8_t> before, std::span<const std::uint8_t> after) {
  std::uint64_t delta = 0;
  for (std::size_t i = 0; i + 1 < before.size(); i += 2) {
    delta += static_cast<std::uint16_t>(~load16(&before[i]));
    delta += load16(&after[i]);
  }
  return delta;
}

void update_checksum(std::uint8_t* field, std::uint64_t delta) {
  const auto sum = static_cast<std::uint16_t>(~load16(field));
  store16(field, static_cast<std::uint16_t>(~fold(sum + delta)));
}

void update_partial_sum(std::uint8_t* field, std::uint64_t delta) { store16(field, fold(load16(field) + delta)); }

std::uint64_t pseudo_header_sum(std::span<const std::uint8_t> addresses, std::uint8_t protocol, std::uint32_t length) {
  return ones_sum(addresses) + to_wire(protocol) + to_wire(static_cast<std::uint16_t>(length >> 16U)) +
         to_wire(static_cast<std::uint16_t>(length & 0xffffU));
}

void write_ipv4_checksum(std::uint8_t* header, std::uint32_t size) {
  constexpr std::size_t kChecksum = 10;
  store16(header + kChecksum, 0);
  store16(header + kChecksum, static_cast<std::uint16_t>(~fold(ones_sum({header, size}))));
}

bool complete_checksum(ports::Frame& frame) {
  constexpr std::uint16_t kUdpChecksum = 6;
  const std::uint32_t start = frame.offload.csum_start;
  const std::uint32_t field = start + frame.offload.csum_offset;
  if (field + 2 > frame.head_size) return false;

  // The field holds the pseudo header's sum and is part of what is summed. A piece that starts at an odd distance
  // counts with its bytes exchanged.
  std::uint64_t sum = fold(ones_sum({frame.head + start, frame.head_size - start}));
  bool odd = ((frame.head_size - start) & 1U) != 0;
  for (const ports::Segment& piece : std::span(frame.rest, frame.rest_count)) {
    const std::uint16_t part = fold(ones_sum({piece.data, piece.size}));
    sum += odd ? to_wire(part) : part;
    odd ^= (piece.size & 1U) != 0;
  }
  auto checksum = static_cast<std::uint16_t>(~fold(sum));
  // RFC 768: zero would mean "no checksum".
  if (checksum == 0 && frame.offload.csum_offset == kUdpChecksum) checksum = 0xffff;
  store16(frame.head + field, checksum);
  frame.offload.flags = static_cast<std::uint8_t>(frame.offload.flags & ~ports::Offload::kNeedsCsum);
  frame.offload.csum_start = 0;
  frame.offload.csum_offset = 0;
  return true;
}

std::uint32_t crc32c_delta(std::uint32_t xored, std::uint32_t length) {
  for (std::size_t n = 0; length != 0; ++n, length >>= 1U) {
    if ((length & 1U) != 0) xored = multiply(xored, kZeroBytes[n]);
  }
  return xored;
}

}  // namespace sluice::datapath
