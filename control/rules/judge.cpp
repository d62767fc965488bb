#include "control/rules/judge.hpp"

#include <charconv>
#include <string_view>
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

}  // namespace

tl::expected<std::vector<Rule>, std::vector<std::string>> judge_rules(const std::vector<RuleText>& texts,
                                                                      const PortNames& ports) {
  std::vector<Rule> rules;
  std::vector<std::string> errors;
  for (const RuleText& text : texts) {
    auto rule = parse_rule(text.text, ports);
    if (rule) {
      rules.push_back(std::move(*rule));
    } else {
      errors.push_back(told(text, rule.error().message));
    }
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return rules;
}

}  // namespace sluice::control
