// Mapping: reads one mapping of a configuration strictly. Each key is asked for once, by name and type; what is
// missing, of the wrong type or twice there is told, and at the end so is every key that nobody asked for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/diagnostics.hpp"
#include "control/config/document.hpp"

namespace sluice::control {

class Mapping {
 public:
  /// `label`: what messages call it, such as "ports[2]". A node that is no mapping is told of and counts as empty.
  Mapping(const Node& node, std::string label, Diagnostics& diagnostics);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// The key's value, null if it is not there.
  [[nodiscard]] const Node* find(std::string_view key);
  /// Likewise; its absence is told, with `example` as what would be right.
  [[nodiscard]] const Node* require(std::string_view key, std::string_view example);

  // Read a value: nothing if the key is not there, or (told) if the value is wrong.
  std::optional<std::string> text(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t least, std::uint64_t most);
  std::optional<std::chrono::microseconds> duration(std::string_view key, std::string_view example);
  std::optional<std::uint64_t> size(std::string_view key, std::string_view example);
  /// The index of the value among `choices`.
  std::optional<std::size_t> choice(std::string_view key, std::span<const std::string_view> choices);
  /// Calls back with each item and its label, "pmd: cores[0]". Tells of a value that is no list.
  void items(std::string_view key, const std::function<void(const Node&, const std::string&)>& each);
  void items_of(const Node& list, std::string_view key,
                const std::function<void(const Node&, const std::string&)>& each);

  /// Tells: "label: message", at the key's value, or at the mapping if the key is not there.
  void wrong(std::string_view key, const std::string& message);
  void wrong_at(Mark mark, const std::string& message);

  /// Tells of the keys that nobody asked for.
  void finish();

  /// "ports[2]" becomes "ports[2] 'vm1'" when the name is known.
  void rename(std::string label) { label_ = std::move(label); }
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] Mark mark() const { return mark_; }
  [[nodiscard]] Mark mark_of(std::string_view key) const;
  [[nodiscard]] Diagnostics& diagnostics() { return diagnostics_; }

 private:
  struct Entry {
    std::string_view key;
    Mark key_mark;
    const Node* value;
    bool asked_for = false;
  };
  [[nodiscard]] const Node* scalar(std::string_view key, std::string_view wanted);
  [[nodiscard]] const Node* plain_scalar(std::string_view key, std::string_view wanted);

  std::string label_;
  Diagnostics& diagnostics_;
  Mark mark_;
  std::vector<Entry> entries_;
  std::vector<std::string> known_;
};

/// "a, b or c".
[[nodiscard]] std::string listed(std::span<const std::string_view> words);
/// "a list", "'text'", for a message about a value of the wrong type.
[[nodiscard]] std::string described(const Node& node);

}  // namespace sluice::control
