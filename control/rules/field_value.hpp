// field_value: the value of one field, from text to bits of a FlowKey or to an action that sets it.
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "control/rules/port_names.hpp"
#include "control/rules/words.hpp"
#include "flowtable/action.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// What a match asks of a key. value has no bits that mask has not.
struct MatchBits {
  flowtable::FlowKey value{};
  flowtable::FlowKey mask{};
};

/// The error says what is wrong with the value and what would be right, without a column.
template <typename T>
using ValueResult = tl::expected<T, std::string>;

/// `text` as a value of the field, with "/MASK" where the field may have one.
[[nodiscard]] ValueResult<MatchBits> read_match_value(const FieldWord& word, std::string_view text,
                                                      const PortNames& ports);

/// `ethertype` and, unless it is -1, `protocol`.
[[nodiscard]] MatchBits protocol_bits(const ProtocolWord& word);

/// The action that sets the field to `text`. `name` is what the operator calls it.
[[nodiscard]] ValueResult<flowtable::Action> read_edit(Field field, std::string_view name, std::string_view text);

/// A number from 0 to `max`.
[[nodiscard]] ValueResult<std::uint16_t> read_number_to(std::uint16_t max, std::string_view name,
                                                        std::string_view text);

}  // namespace sluice::control
