#include "control/config/quantity.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <span>

namespace sluice::control {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

/// Digits, at most one space, a unit. Nothing on anything else, and if the product does not fit.
std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, std::uint64_t most) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_integer(text.substr(0, digits));
  if (!number) return std::nullopt;
  std::string_view unit = text.substr(digits);
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto found = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == unit; });
  if (found == units.end() || *number > most / found->factor) return std::nullopt;
  return *number * found->factor;
}

}  // namespace

std::optional<std::uint64_t> parse_integer(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::chrono::microseconds> parse_duration(std::string_view text) {
  static constexpr Unit kUnits[] = {
      {"us", 1}, {"ms", 1'000}, {"s", 1'000'000}, {"min", 60'000'000}, {"h", 3'600'000'000}};
  const auto value = parse_with_unit(text, kUnits, std::numeric_limits<std::int64_t>::max());
  if (!value) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(*value));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr Unit kUnits[] = {
      {"KiB", 1ULL << 10U}, {"MiB", 1ULL << 20U}, {"GiB", 1ULL << 30U}, {"TiB", 1ULL << 40U}};
  return parse_with_unit(text, kUnits, std::numeric_limits<std::uint64_t>::max());
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_integer(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_integer(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return std::pair{*first, *last};
}

std::optional<std::uint64_t> parse_packet_rate(std::string_view text) {
  static constexpr Unit kUnits[] = {{"pps", 1}};
  return parse_with_unit(text, kUnits, std::numeric_limits<std::uint64_t>::max());
}

}  // namespace sluice::control
