// Document: a YAML text as a tree of nodes that know where they stand. yaml-cpp reads the YAML; the tree is our own,
// so that duplicate keys, quotes and the places of keys are kept, and so that a hostile text is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/diagnostics.hpp"

namespace sluice::control {

struct Node {
  enum class Kind : std::uint8_t { null, scalar, sequence, mapping };
  Kind kind = Kind::null;
  bool plain = true;  ///< scalar: written without quotes
  Mark mark;
  std::string text;                                ///< scalar; null: "null" if it is written so
  std::vector<std::shared_ptr<const Node>> items;  ///< sequence; mapping: key, value, key, value, ...
  std::size_t size = 1;                            ///< nodes in it, itself included, aliases written out
};
using NodePtr = std::shared_ptr<const Node>;

/// Limits of a document, far beyond any real one.
inline constexpr std::size_t kMaxDocumentBytes = 1U << 20U;
inline constexpr std::size_t kMaxDocumentNodes = 200'000;
/// Of a port that is added to a running switch, whose control thread reads it between other work. Room for a trunk that
/// lists every VLAN.
inline constexpr std::size_t kMaxPortBytes = 64U << 10U;

/// The one document in `text`. Null if there is none to go on with; then, and for every other fault, `diagnostics`
/// says what is wrong. Anchors and aliases work, within the limit of nodes; tags do not.
[[nodiscard]] NodePtr read_document(std::string_view text, Diagnostics& diagnostics);

/// The words `name=vm3 type=pci vlan.access=10` as the mapping {name: vm3, type: pci, vlan: {access: 10}}. A value
/// with commas is a list; there are no quotes, since a shell has already taken them away. At most kMaxPortBytes.
[[nodiscard]] NodePtr read_words(std::string_view text, Diagnostics& diagnostics);

}  // namespace sluice::control
