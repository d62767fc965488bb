// parse: the match, word by word, and what its words mean together.
#include "control/rules/parse.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <optional>
#include <vector>

#include "control/rules/ethertype.hpp"
#include "control/rules/field_value.hpp"
#include "control/rules/format.hpp"
#include "control/rules/nearest.hpp"
#include "control/rules/packet_class.hpp"
#include "control/rules/parse_actions.hpp"
#include "control/rules/scanner.hpp"
#include "control/rules/words.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;

// A field or protocol of a match, with the column it stands in.
struct Given {
  Token name;
  MatchBits bits;
  Needs needs = Needs::nothing;
};

// True if no key can satisfy both.
bool contradict(const MatchBits& a, const MatchBits& b) {
  return !(masked(a.value, b.mask) == masked(b.value, a.mask));
}

// What stands in front of "actions=".
class MatchReader {
 public:
  explicit MatchReader(const PortNames& ports) : ports_(ports) {}

  Expected<void> add(const Item& item) {
    if (item.joint == 0) return add_protocol(item.name);
    if (item.name.text == "priority") return add_priority(item);
    return add_field(item);
  }

  // What can be checked only when all has been read: OVS does not mind the order, so neither do we.
  [[nodiscard]] Expected<MatchBits> finish() const {
    MatchBits all;
    for (const auto& given : given_) {
      all.value = merged(all.value, given.bits.value);
      all.mask = merged(all.mask, given.bits.mask);
    }
    for (const auto& given : given_) {
      const auto unmet = unmet_need(given.name.text, given.needs, all.value, all.mask);
      if (!unmet.empty()) return error_at(given.name.offset, unmet);
    }
    return all;
  }

  [[nodiscard]] std::optional<std::uint16_t> priority() const { return priority_; }
  [[nodiscard]] const std::vector<Given>& given() const { return given_; }

 private:
  Expected<void> add_protocol(const Token& name) {
    const auto* word = find_protocol(name.text);
    if (word == nullptr) {
      if (find_field(name.text) != nullptr || name.text == "priority") {
        return error_at(name.offset, fmt::format("{0} needs a value: {0}=...", name.text));
      }
      return unknown(name);
    }
    return keep({name, protocol_bits(*word)});
  }

  Expected<void> add_priority(const Item& item) {
    if (priority_) return error_at(item.name.offset, "priority is given twice");
    const auto priority = read_number_to(0xffff, "priority", item.value.text);
    if (!priority) return error_at(item.value.offset, priority.error());
    priority_ = *priority;
    return {};
  }

  Expected<void> add_field(const Item& item) {
    const auto* word = find_field(item.name.text);
    if (word == nullptr) {
      if (find_protocol(item.name.text) == nullptr) return unknown(item.name);
      return error_at(item.name.offset, fmt::format("{} stands alone, without a value", item.name.text));
    }
    for (const auto& before : given_) {
      if (before.name.text != item.name.text) continue;
      return error_at(item.name.offset,
                      fmt::format("{} is given twice, first in column {}", word->name, before.name.offset + 1));
    }
    auto bits = read_match_value(*word, item.value.text, ports_);
    if (!bits) return error_at(item.value.offset, bits.error());
    return keep({item.name, *bits, word->needs});
  }

  Expected<void> keep(const Given& given) {
    for (const auto& before : given_) {
      if (!contradict(before.bits, given.bits)) continue;
      return error_at(given.name.offset, fmt::format("{} contradicts {} in column {}: no packet is both",
                                                     given.name.text, before.name.text, before.name.offset + 1));
    }
    given_.push_back(given);
    return {};
  }

  static tl::unexpected<Error> unknown(const Token& name) {
    if (name.text.empty()) return error_at(name.offset, "a field or a protocol is expected");
    return error_at(name.offset, fmt::format("{} is not a field that can be matched{}", quoted(name.text),
                                             did_you_mean(name.text, match_words(), kSeeHelp)));
  }

  const PortNames& ports_;
  std::vector<Given> given_;
  std::optional<std::uint16_t> priority_;
};

bool is_actions(const Item& item) { return item.name.text == "actions" || item.name.text == "action"; }

Expected<void> check_length(std::string_view text) {
  if (text.size() <= kMaxRuleLength) return {};
  return error_at(kMaxRuleLength,
                  fmt::format("a rule has at most {} characters, this has {}", kMaxRuleLength, text.size()));
}

enum class Actions : std::uint8_t { required, optional };

Expected<Rule> read_rule(std::string_view text, const PortNames& ports, Actions wanted) {
  if (const auto length = check_length(text); !length) return tl::unexpected(length.error());
  Scanner scanner(text);
  MatchReader match(ports);
  std::optional<Token> actions;
  while (!scanner.at_end()) {
    const auto item = scanner.match_item();
    if (!item) return tl::unexpected(item.error());
    if (is_actions(*item)) {
      if (item->joint == 0) return error_at(item->name.offset, "actions needs a value: actions=drop, for one");
      actions = scanner.rest_after(*item);
      break;
    }
    if (const auto added = match.add(*item); !added) return tl::unexpected(added.error());
  }
  const auto bits = match.finish();
  if (!bits) return tl::unexpected(bits.error());
  Rule rule;
  rule.priority = match.priority().value_or(rule.priority);
  rule.value = bits->value;
  rule.mask = bits->mask;
  if (actions) {
    auto list = parse_actions(*actions, *bits, ports);
    if (!list) return tl::unexpected(list.error());
    rule.actions = std::move(*list);
  } else if (wanted == Actions::required) {
    return error_at(text.size(), "actions=... is missing; actions=drop drops what matches");
  }
  return rule;
}

Expected<void> check_exact(const Given& given, Token value) {
  const bool has_mask = value.text.find('/') != std::string_view::npos;
  if (has_mask) {
    return error_at(value.offset, fmt::format("a packet has one {}, so there can be no mask", given.name.text));
  }
  const bool vague_frag =
      given.bits.mask.nw_frag != 0 && given.bits.mask.nw_frag != (flowtable::kFragAny | flowtable::kFragLater);
  if (vague_frag) {
    return error_at(value.offset, fmt::format("a packet's {} is no, first or later", given.name.text));
  }
  return {};
}

// The fields that a match leaves open and a packet cannot.
FlowKey complete(const MatchBits& bits) {
  FlowKey key = bits.value;
  if (bits.mask.ethertype_be == 0) key.ethertype_be = htons(kNoEthertype);
  key.packet_class = static_cast<std::uint8_t>(class_of(key));
  return key;
}

Expected<FlowKey> finish_packet(const MatchReader& match, std::string_view text) {
  const auto bits = match.finish();
  if (!bits) return tl::unexpected(bits.error());
  if (bits->mask.in_port == 0) return error_at(text.size(), "in_port=... is missing: a packet comes in through a port");
  return complete(*bits);
}

}  // namespace

Expected<Rule> parse_rule(std::string_view text, const PortNames& ports) {
  auto rule = read_rule(text, ports, Actions::required);
  if (rule) rule->text = format_rule(*rule, ports);
  return rule;
}

Expected<Rule> parse_rule_match(std::string_view text, const PortNames& ports) {
  auto rule = read_rule(text, ports, Actions::optional);
  if (rule) rule->actions.clear();
  return rule;
}

Expected<FlowKey> parse_packet(std::string_view text, const PortNames& ports) {
  if (const auto length = check_length(text); !length) return tl::unexpected(length.error());
  Scanner scanner(text);
  MatchReader match(ports);
  while (!scanner.at_end()) {
    const auto item = scanner.match_item();
    if (!item) return tl::unexpected(item.error());
    if (is_actions(*item) || item->name.text == "priority") {
      return error_at(item->name.offset, fmt::format("{} belongs to a rule, not to a packet", item->name.text));
    }
    if (const auto added = match.add(*item); !added) return tl::unexpected(added.error());
    if (const auto exact = check_exact(match.given().back(), item->value); !exact) {
      return tl::unexpected(exact.error());
    }
  }
  return finish_packet(match, text);
}

}  // namespace sluice::control
