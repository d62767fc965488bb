// values: reading and writing. Addresses are left to inet_pton and inet_ntop (RFC 5952's form).
#include "control/rules/values.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace sluice::control {
namespace {

std::optional<std::uint64_t> read_digits(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

template <std::size_t N>
std::optional<std::array<std::uint8_t, N>> read_address(std::string_view text, int family) {
  // inet_pton wants a terminated string; no address is longer than INET6_ADDRSTRLEN, and none has a zero byte in it.
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  text.copy(copy.data(), text.size());
  std::array<std::uint8_t, N> address{};
  if (inet_pton(family, copy.data(), address.data()) != 1) return std::nullopt;
  return address;
}

template <std::size_t N>
std::string write_address(const std::array<std::uint8_t, N>& address, int family) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, address.data(), text.data(), text.size());
  return text.data();
}

template <std::size_t N>
std::string write_masked(const std::array<std::uint8_t, N>& address, const std::array<std::uint8_t, N>& mask,
                         int family) {
  const auto length = prefix_length(mask);
  if (!length) return write_address(address, family) + "/" + write_address(mask, family);
  if (*length == 8 * N) return write_address(address, family);
  return fmt::format("{}/{}", write_address(address, family), *length);
}

}  // namespace

std::optional<std::uint64_t> read_number(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return read_digits(text.substr(2), 16);
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return read_digits(text, 10);
}

std::optional<flowtable::MacAddress> read_mac(std::string_view text) {
  flowtable::MacAddress mac{};
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
    const bool last = i + 1 == mac.bytes.size();
    const std::size_t end = last ? text.size() : text.find(':');
    if (end == std::string_view::npos || end == 0 || end > 2) return std::nullopt;
    const auto byte = read_digits(text.substr(0, end), 16);
    if (!byte) return std::nullopt;
    mac.bytes[i] = static_cast<std::uint8_t>(*byte);
    text.remove_prefix(last ? end : end + 1);
  }
  return mac;
}

std::optional<Ipv4> read_ipv4(std::string_view text) { return read_address<4>(text, AF_INET); }
std::optional<Ipv6> read_ipv6(std::string_view text) { return read_address<16>(text, AF_INET6); }

std::string write_mac(const flowtable::MacAddress& mac) { return fmt::format("{:02x}", fmt::join(mac.bytes, ":")); }
std::string write_ipv4(const Ipv4& address) { return write_address(address, AF_INET); }
std::string write_ipv6(const Ipv6& address) { return write_address(address, AF_INET6); }
std::string write_ipv4(const Ipv4& address, const Ipv4& mask) { return write_masked(address, mask, AF_INET); }
std::string write_ipv6(const Ipv6& address, const Ipv6& mask) { return write_masked(address, mask, AF_INET6); }

}  // namespace sluice::control
