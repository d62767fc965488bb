#include "control/rules/judge.hpp"

#include <charconv>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "control/rules/parse.hpp"

namespace sluice::control {
namespace {

/// The parser's errors read "column 7: …".
std::string told(const RuleText& rule, std::string_view message) {
  constexpr std::string_view kColumn = "column ";
  unsigned column = 0;
  const bool has_column = message.starts_with(kColumn);
  if (has_column) std::from_chars(message.data() + kColumn.size(), message.data() + message.size(), column);
  if (rule.line.empty() || column == 0) return fmt::format("{}: rule '{}': {}", rule.where, rule.text, message);
  return fmt::format("{}:{}: rule '{}': {}", rule.line, rule.column + column - 1, rule.text,
                     message.substr(message.find(": ") + 2));
}

/// What tells a rule from others: of two with the same, a rule table has the later alone.
std::string identity(const Rule& rule) {
  std::string bytes = std::to_string(rule.priority);
  for (const flowtable::FlowKey* key : {&rule.value, &rule.mask}) {
    bytes.append(reinterpret_cast<const char*>(key), sizeof *key);
  }
  return bytes;
}

}  // namespace

tl::expected<std::vector<Rule>, std::vector<std::string>> judge_rules(const std::vector<RuleText>& texts,
                                                                      const PortNames& ports) {
  std::vector<Rule> rules;
  std::vector<std::string> errors;
  std::unordered_map<std::string, const RuleText*> seen;
  for (const RuleText& text : texts) {
    auto rule = parse_rule(text.text, ports);
    if (!rule) {
      errors.push_back(told(text, rule.error().message));
      continue;
    }
    const auto [first, is_new] = seen.emplace(identity(*rule), &text);
    if (!is_new) {
      errors.push_back(
          told(text, fmt::format("priority and match are those of '{}', at {}; one of the two can be in force",
                                 first->second->text, first->second->where)));
      continue;
    }
    rules.push_back(std::move(*rule));
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return rules;
}

}  // namespace sluice::control
