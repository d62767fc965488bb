// rules_fuzzer: any bytes as a rule, as a packet and as a match. What is accepted must come back the same from its
// canonical form; what is refused must say a column inside of the text, in printable words.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/rules/class_mask.hpp"
#include "control/rules/format.hpp"
#include "control/rules/packet_class.hpp"
#include "control/rules/parse.hpp"

namespace {

using namespace sluice;  // NOLINT(google-build-using-namespace): a program of one file

void require(bool fact) {
  if (!fact) std::abort();
}

const control::PortNames& ports() {
  static const auto names = [] {
    control::PortNames three;
    three.add("vm1", 0);
    three.add("vm2", 1);
    three.add("1", 2);
    return three;
  }();
  return names;
}

void check_error(const control::Error& error, std::size_t size) {
  require(error.message.starts_with("column "));
  const auto column = std::strtoull(error.message.c_str() + 7, nullptr, 10);
  require(column >= 1 && column <= size + 1);
  require(std::ranges::all_of(error.message, [](char c) { return c >= ' ' && c <= '~'; }));
}

void check_rule(std::string_view text) {
  const auto rule = control::parse_rule(text, ports());
  if (!rule) return check_error(rule.error(), text.size());
  require(masked(rule->value, rule->mask) == rule->value);
  const auto again = control::parse_rule(rule->text, ports());
  // Canonical words can be longer than those that were written; what no longer fits says so.
  if (!again) return require(rule->text.size() > control::kMaxRuleLength);
  require(again->priority == rule->priority && again->value == rule->value && again->mask == rule->mask);
  require(again->actions == rule->actions && again->text == rule->text);
}

void check_packet(std::string_view text) {
  const auto key = control::parse_packet(text, ports());
  if (!key) return check_error(key.error(), text.size());
  const auto c = static_cast<flowtable::PacketClass>(key->packet_class);
  const auto& facts = control::class_facts(c);
  require(masked(*key, facts.mask) == facts.value);
  flowtable::FlowKey all{};
  all = merged(all, control::class_mask(c, key->in_port, control::RuleTable{}, facts.mask));
  require(!control::format_key(*key, all, ports()).empty());
  if (const auto match = control::parse_rule_match(text, ports())) require(matches(*match, *key));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_rule(text);
  check_packet(text);
  return 0;
}
