// The words of `sluice port add` as the same tree that a YAML mapping makes, so that one code judges both.
#include <algorithm>

#include <fmt/format.h>

#include "control/config/document.hpp"

namespace sluice::control {
namespace {

std::shared_ptr<Node> scalar(std::string_view text, Mark mark) {
  auto node = std::make_shared<Node>();
  node->kind = Node::Kind::scalar;
  node->mark = mark;
  node->text = text;
  return node;
}

/// "10" is a value, "10,20-30" a list of two.
std::shared_ptr<Node> value_of(std::string_view text, Mark mark) {
  if (text.find(',') == std::string_view::npos) return scalar(text, mark);
  auto list = std::make_shared<Node>();
  list->kind = Node::Kind::sequence;
  list->mark = mark;
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    list->items.push_back(scalar(text.substr(0, comma), mark));
    if (comma == text.size()) return list;
    mark.column += static_cast<unsigned>(comma) + 1;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

NodePtr read_words(std::string_view text, Diagnostics& diagnostics) {
  auto root = std::make_shared<Node>();
  root->kind = Node::Kind::mapping;
  std::vector<std::pair<std::string_view, std::shared_ptr<Node>>> nested;
  constexpr std::string_view kSpace = " \t\r\n";
  std::size_t at = 0;
  while ((at = text.find_first_not_of(kSpace, at)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const Mark mark{1, static_cast<unsigned>(at) + 1};
    at = end;
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      diagnostics.add(mark, fmt::format("{} is not key=value, such as mtu=9000", in_quotes(word)));
      continue;
    }
    std::string_view key = word.substr(0, equals);
    Node* parent = root.get();
    if (const std::size_t dot = key.find('.'); dot != std::string_view::npos) {
      const std::string_view outer = key.substr(0, dot);
      auto found = std::find_if(nested.begin(), nested.end(), [&](const auto& n) { return n.first == outer; });
      if (found == nested.end()) {
        auto node = std::make_shared<Node>();
        node->kind = Node::Kind::mapping;
        node->mark = mark;
        root->items.push_back(scalar(outer, mark));
        root->items.push_back(node);
        found = nested.insert(nested.end(), {outer, std::move(node)});
      }
      parent = found->second.get();
      key.remove_prefix(dot + 1);
    }
    const Mark value_mark{1, mark.column + static_cast<unsigned>(equals) + 1};
    parent->items.push_back(scalar(key, mark));
    parent->items.push_back(value_of(word.substr(equals + 1), value_mark));
  }
  return root;
}

}  // namespace sluice::control
