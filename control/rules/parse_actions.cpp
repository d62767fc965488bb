// parse_actions: one action after the other.
#include "control/rules/parse_actions.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <cstring>
#include <optional>

#include "control/rules/ethertype.hpp"
#include "control/rules/nearest.hpp"
#include "control/rules/parse.hpp"
#include "control/rules/values.hpp"
#include "control/rules/words.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;

RuleAction edit(const Action& action) { return {RuleAction::Kind::edit, action}; }

class ActionReader {
 public:
  ActionReader(const MatchBits& match, const PortNames& ports) : match_(match), ports_(ports) {}

  Expected<RuleAction> read(const Item& item) const {
    if (const auto* mod = find_mod(item.name.text)) return read_mod(item, *mod);
    if (is(item, "output")) return read_output(item);
    if (is(item, "set_field")) return read_set_field(item);
    if (is(item, "push_vlan")) return read_push(item);
    if (item.joint != 0) return without_value(item);
    if (is(item, "normal")) return RuleAction{RuleAction::Kind::normal};
    if (is(item, "flood")) return RuleAction{RuleAction::Kind::flood};
    if (is(item, "in_port")) return RuleAction{RuleAction::Kind::in_port};
    if (is(item, "strip_vlan") || is(item, "pop_vlan")) return edit({.kind = ActionKind::pop_vlan});
    if (is(item, "dec_ttl")) return read_dec_ttl(item);
    return output_to(item.name);
  }

  static bool is(const Item& item, std::string_view word) { return same_word(item.name.text, word); }

 private:
  Expected<RuleAction> read_mod(const Item& item, const ModWord& mod) const {
    if (const auto value = want_value(item); !value) return tl::unexpected(value.error());
    if (const auto fits = check(item.name, mod.name, mod.needs); !fits) return tl::unexpected(fits.error());
    const auto action = read_edit(mod.field, mod.name, item.value.text);
    if (!action) return error_at(item.value.offset, action.error());
    return edit(*action);
  }

  Expected<RuleAction> read_set_field(const Item& item) const {
    if (const auto value = want_value(item); !value) return tl::unexpected(value.error());
    const std::size_t arrow = item.value.text.find("->");
    if (arrow == std::string_view::npos) return error_at(item.value.offset, "set_field is set_field:VALUE->FIELD");
    const Token target{item.value.text.substr(arrow + 2), item.value.offset + arrow + 2};
    const auto* field = find_field(target.text);
    if (field == nullptr) {
      std::vector<std::string_view> names;
      for (const auto& word : field_words()) names.push_back(word.name);
      return error_at(target.offset, fmt::format("{} is not a field that can be set{}", quoted(target.text),
                                                 did_you_mean(target.text, names)));
    }
    const auto action = read_edit(field->field, field->name, item.value.text.substr(0, arrow));
    if (!action) return error_at(item.value.offset, action.error());
    if (const auto fits = check(item.name, fmt::format("set_field on {}", field->name), field->needs); !fits) {
      return tl::unexpected(fits.error());
    }
    return edit(*action);
  }

  static Expected<RuleAction> read_push(const Item& item) {
    if (const auto value = want_value(item); !value) return tl::unexpected(value.error());
    const auto tpid = read_number(item.value.text);
    if (tpid != kDot1q && tpid != kDot1ad) {
      return error_at(item.value.offset, fmt::format("push_vlan takes 0x8100 (802.1Q) or 0x88a8 (802.1ad), not {}",
                                                     quoted(item.value.text)));
    }
    Action action{.kind = ActionKind::push_vlan};
    const std::uint16_t tpid_be = htons(static_cast<std::uint16_t>(*tpid));
    std::memcpy(action.bytes.data(), &tpid_be, sizeof tpid_be);
    return edit(action);
  }

  Expected<RuleAction> read_dec_ttl(const Item& item) const {
    if (const auto fits = check(item.name, "dec_ttl", Needs::ip); !fits) return tl::unexpected(fits.error());
    return edit({.kind = ActionKind::dec_ttl});
  }

  Expected<RuleAction> read_output(const Item& item) const {
    if (const auto value = want_value(item); !value) return tl::unexpected(value.error());
    if (same_word(item.value.text, "in_port")) return RuleAction{RuleAction::Kind::in_port};
    const auto id = ports_.id(item.value.text);
    if (!id) return unknown(item.value, "is not a port", {});
    return edit({.kind = ActionKind::output, .value = *id});
  }

  Expected<RuleAction> output_to(const Token& name) const {
    if (name.text.empty()) return error_at(name.offset, "an action or a port is expected");
    const auto id = ports_.id(name.text);
    if (!id) return unknown(name, "is neither an action nor a port", action_words());
    return edit({.kind = ActionKind::output, .value = *id});
  }

  Expected<RuleAction> without_value(const Item& item) const {
    const auto words = action_words();
    for (const auto word : words) {
      if (!is(item, word)) continue;
      return error_at(item.value.offset, fmt::format("{} stands alone, without a value", word));
    }
    return unknown(item.name, "is not an action", words);
  }

  static Expected<void> want_value(const Item& item) {
    if (item.joint != 0 && !item.value.text.empty()) return {};
    return error_at(item.name.offset, fmt::format("{0} needs a value: {0}:...", item.name.text));
  }

  [[nodiscard]] Expected<void> check(const Token& at, std::string_view what, Needs needs) const {
    const auto unmet = unmet_need(what, needs, match_.value, match_.mask);
    if (!unmet.empty()) return error_at(at.offset, unmet);
    return {};
  }

  tl::unexpected<Error> unknown(const Token& name, std::string_view what,
                                std::span<const std::string_view> words) const {
    std::vector<std::string_view> names;
    for (const auto& [port, id] : ports_.all()) names.push_back(port);
    const std::string otherwise = words.empty() ? there_are(names) : std::string(kSeeHelp);
    names.insert(names.begin(), words.begin(), words.end());
    return error_at(name.offset,
                    fmt::format("{} {}{}", quoted(name.text), what, did_you_mean(name.text, names, otherwise)));
  }

  const MatchBits& match_;
  const PortNames& ports_;
};

}  // namespace

Expected<std::vector<RuleAction>> parse_actions(Token text, const MatchBits& match, const PortNames& ports) {
  Scanner scanner(text.text, text.offset);
  const ActionReader reader(match, ports);
  std::vector<RuleAction> actions;
  std::optional<std::size_t> drop;
  while (!scanner.at_end()) {
    const auto item = scanner.action_item();
    if (!item) return tl::unexpected(item.error());
    if (drop || (!actions.empty() && ActionReader::is(*item, "drop"))) {
      return error_at(drop.value_or(item->name.offset), "drop stands alone: nothing can be done before or after it");
    }
    if (ActionReader::is(*item, "drop") && item->joint == 0) {
      drop = item->name.offset;
      continue;
    }
    if (actions.size() == kMaxRuleActions) {
      return error_at(item->name.offset, fmt::format("a rule has at most {} actions", kMaxRuleActions));
    }
    auto action = reader.read(*item);
    if (!action) return tl::unexpected(action.error());
    actions.push_back(*action);
  }
  if (actions.empty() && !drop) return error_at(text.offset, "an action is expected; drop drops what matches");
  return actions;
}

}  // namespace sluice::control
