#include "control/config/mapping.hpp"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "control/config/quantity.hpp"
#include "control/rules/nearest.hpp"

namespace sluice::control {
std::string listed(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

std::string described(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return "empty";
    case Node::Kind::scalar: return in_quotes(node.text) + (node.plain ? "" : " in quotes");
    case Node::Kind::sequence: return "a list";
    case Node::Kind::mapping: return "a mapping";
  }
  return "";
}

Mapping::Mapping(const Node& node, std::string label, Diagnostics& diagnostics)
    : label_(std::move(label)), diagnostics_(diagnostics), mark_(node.mark) {
  if (node.kind != Node::Kind::mapping) {
    wrong_at(mark_, fmt::format("is {}; right is a mapping of keys and values", described(node)));
    return;
  }
  std::unordered_map<std::string_view, Mark> first;
  for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const Node& key = *node.items[i];
    if (key.kind != Node::Kind::scalar) {
      wrong_at(key.mark, fmt::format("a key is {}; a key is a word", described(key)));
      continue;
    }
    if (const auto [found, is_new] = first.emplace(key.text, key.mark); !is_new) {
      wrong_at(key.mark, fmt::format("key {} is there twice, first at {}", in_quotes(key.text),
                                     diagnostics_.where(found->second)));
      continue;
    }
    entries_.push_back({key.text, key.mark, node.items[i + 1].get(), false});
  }
}

const Node* Mapping::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  for (Entry& entry : entries_) {
    if (entry.key != key) continue;
    entry.asked_for = true;
    return entry.value;
  }
  return nullptr;
}

const Node* Mapping::require(std::string_view key, std::string_view example) {
  const Node* node = find(key);
  if (node == nullptr) wrong_at(mark_, fmt::format("has no '{}'; write for example '{}'", key, example));
  return node;
}

Mark Mapping::mark_of(std::string_view key) const {
  for (const Entry& entry : entries_) {
    if (entry.key == key) return entry.value->mark;
  }
  return mark_;
}

void Mapping::wrong(std::string_view key, const std::string& message) { wrong_at(mark_of(key), message); }

void Mapping::wrong_at(Mark mark, const std::string& message) {
  diagnostics_.add(mark, label_.empty() ? message : fmt::format("{}: {}", label_, message));
}

const Node* Mapping::scalar(std::string_view key, std::string_view wanted) {
  const Node* node = find(key);
  if (node == nullptr || node->kind == Node::Kind::scalar) return node;
  wrong_at(node->mark, fmt::format("{} is {}; right is {}", key, described(*node), wanted));
  return nullptr;
}

const Node* Mapping::plain_scalar(std::string_view key, std::string_view wanted) {
  const Node* node = scalar(key, wanted);
  if (node == nullptr || node->plain) return node;
  wrong_at(node->mark,
           fmt::format("{} {} is text, in quotes; right is {} without quotes", key, in_quotes(node->text), wanted));
  return nullptr;
}

std::optional<std::string> Mapping::text(std::string_view key) {
  const Node* node = scalar(key, "text");
  if (node == nullptr) return std::nullopt;
  if (node->text.empty()) {
    wrong_at(node->mark, fmt::format("{} is empty", key));
    return std::nullopt;
  }
  return node->text;
}

std::optional<bool> Mapping::boolean(std::string_view key) {
  const Node* node = plain_scalar(key, "true or false");
  if (node == nullptr) return std::nullopt;
  if (node->text == "true") return true;
  if (node->text == "false") return false;
  wrong_at(node->mark, fmt::format("{} is {}; right is true or false", key, in_quotes(node->text)));
  return std::nullopt;
}

std::optional<std::uint64_t> Mapping::integer(std::string_view key, std::uint64_t least, std::uint64_t most) {
  const std::string wanted = fmt::format("a number from {} to {}", least, most);
  const Node* node = plain_scalar(key, wanted);
  if (node == nullptr) return std::nullopt;
  const auto value = parse_integer(node->text);
  if (value && *value >= least && *value <= most) return value;
  wrong_at(node->mark, fmt::format("{} is {}; right is {}", key, in_quotes(node->text), wanted));
  return std::nullopt;
}

std::optional<std::chrono::microseconds> Mapping::duration(std::string_view key, std::string_view example) {
  const Node* node = scalar(key, fmt::format("a time such as {}", example));  // text in YAML anyway, quoted or not
  if (node == nullptr) return std::nullopt;
  const auto value = parse_duration(node->text);
  if (!value) {
    wrong_at(node->mark, fmt::format("{} is {}; right is a number with its unit (us, ms, s, min or h), such as {}", key,
                                     in_quotes(node->text), example));
  }
  return value;
}

std::optional<std::uint64_t> Mapping::size(std::string_view key, std::string_view example) {
  const Node* node = scalar(key, fmt::format("a size such as {}", example));  // text in YAML anyway, quoted or not
  if (node == nullptr) return std::nullopt;
  const auto value = parse_size(node->text);
  if (!value) {
    wrong_at(node->mark, fmt::format("{} is {}; right is a number with its unit (KiB, MiB, GiB or TiB), such as {}",
                                     key, in_quotes(node->text), example));
  }
  return value;
}

std::optional<std::size_t> Mapping::choice(std::string_view key, std::span<const std::string_view> choices) {
  const Node* node = find(key);
  if (node == nullptr) return std::nullopt;
  // null, YAML's word for nothing, may be meant as a word.
  if (node->kind != Node::Kind::scalar && node->text.empty()) {
    wrong_at(node->mark, fmt::format("{} is {}; right is {}", key, described(*node), listed(choices)));
    return std::nullopt;
  }
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == node->text) return i;
  }
  wrong_at(node->mark, fmt::format("{} is {}; right is {}{}", key, in_quotes(node->text), listed(choices),
                                   did_you_mean(node->text, choices)));
  return std::nullopt;
}

void Mapping::items(std::string_view key, const std::function<void(const Node&, const std::string&)>& each) {
  if (const Node* node = find(key)) items_of(*node, key, each);
}

void Mapping::items_of(const Node& list, std::string_view key,
                       const std::function<void(const Node&, const std::string&)>& each) {
  if (list.kind != Node::Kind::sequence) {
    wrong_at(list.mark, fmt::format("{} is {}; right is a list", key, described(list)));
    return;
  }
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    each(*list.items[i], fmt::format("{}{}{}[{}]", label_, label_.empty() ? "" : ": ", key, i));
  }
}

void Mapping::finish() {
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  for (const Entry& entry : entries_) {
    if (entry.asked_for) continue;
    wrong_at(entry.key_mark, fmt::format("unknown key {}{}; known here: {}", in_quotes(entry.key),
                                         did_you_mean(entry.key, known), listed(known)));
  }
}

}  // namespace sluice::control
