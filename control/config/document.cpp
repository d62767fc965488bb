#include "control/config/document.hpp"

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace sluice::control {
namespace {

Mark to_mark(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<unsigned>(mark.line) + 1, static_cast<unsigned>(mark.column) + 1};
}

/// What ends the reading of a document.
struct Refused {
  Mark mark;
  std::string message;
};

/// Builds the tree from yaml-cpp's events.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view text) : text_(text) {}
  [[nodiscard]] NodePtr root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto node = std::make_shared<Node>();
    node->mark = to_mark(mark);
    if (mark.pos >= 0 && text_.substr(std::min(static_cast<std::size_t>(mark.pos), text_.size())).starts_with("null")) {
      node->text = "null";
    }
    place(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{to_mark(mark), "this alias stands inside of what it stands for"};
    place(found->second, YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::scalar;
    node->plain = tag == "?";
    node->mark = to_mark(mark);
    node->text = value;
    place(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::mapping, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<Node> node;
    YAML::anchor_t anchor;
  };

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // yaml-cpp gives plain scalars the tag "?", quoted ones "!", and collections without a tag "" or "?".
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw Refused{to_mark(mark), fmt::format("tag {} is not used here; write the value without it", in_quotes(tag))};
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->mark = to_mark(mark);
    open_.push_back({std::move(node), anchor});
  }

  void close() {
    auto [node, anchor] = std::move(open_.back());
    open_.pop_back();
    place(std::move(node), anchor);
  }

  void place(NodePtr node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Node& parent = *open_.back().node;
    parent.size += node->size;
    if (parent.size > kMaxDocumentNodes) {
      throw Refused{parent.mark,
                    fmt::format("more than {} values, aliases counted as what they stand for", kMaxDocumentNodes)};
    }
    parent.items.push_back(std::move(node));
  }

  std::string_view text_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, NodePtr> anchors_;
  NodePtr root_;
};

/// Length of the UTF-8 character at the start of `text`, 0 if it is none (RFC 3629, section 4).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                             : (first & 0xf0U) == 0xe0        ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  }
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) || (first == 0xf0 && byte(1) < 0x90) ||
      (first == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return length;
}

/// What YAML would trip over, or take for something else, before it is YAML: false after telling of the first.
bool check_bytes(std::string_view text, Diagnostics& diagnostics) {
  if (text.size() > kMaxDocumentBytes) {
    diagnostics.add({}, fmt::format("{} bytes long, a configuration has at most {}", text.size(), kMaxDocumentBytes));
    return false;
  }
  if (text.starts_with("\xef\xbb\xbf") || text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    diagnostics.add({}, "starts with a byte order mark; save the file as UTF-8 without one");
    return false;
  }
  Mark mark;
  bool indentation = true;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      diagnostics.add(mark, fmt::format("byte 0x{:02x} is not UTF-8; save the file as UTF-8", byte));
      return false;
    }
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7f) {
      diagnostics.add(mark, fmt::format("control character 0x{:02x}; a configuration is plain text", byte));
      return false;
    }
    if (byte == '\t' && indentation) {
      diagnostics.add(mark, "a tab in the indentation; YAML is indented with spaces");
      return false;
    }
    if (byte == '\n') {
      ++mark.line;
      mark.column = 1;
      indentation = true;
    } else {
      if (byte != ' ') indentation = false;
      ++mark.column;
    }
    i += length;
  }
  return true;
}

}  // namespace

NodePtr read_document(std::string_view text, Diagnostics& diagnostics) {
  if (!check_bytes(text, diagnostics)) return nullptr;
  std::istringstream stream{std::string(text)};
  Builder builder(text);
  Builder second(text);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder) || builder.root() == nullptr) return nullptr;
    if (parser.HandleNextDocument(second) && second.root() != nullptr) {
      diagnostics.add(second.root()->mark, "a second document; a configuration is one");
      return nullptr;
    }
  } catch (const Refused& refused) {
    diagnostics.add(refused.mark, refused.message);
    return nullptr;
  } catch (const YAML::DeepRecursion& error) {
    diagnostics.add(to_mark(error.mark), "nested hundreds of levels deep; a configuration needs five");
    return nullptr;
  } catch (const YAML::Exception& error) {
    diagnostics.add(to_mark(error.mark), fmt::format("not YAML: {}", error.msg));
    return nullptr;
  }
  return builder.root();
}

}  // namespace sluice::control
