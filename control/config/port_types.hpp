// Port types: one table. A row says how a type is called, which keys it has, and how they become what the ports are
// made of. A type that is a DPDK device is added with a row (and, for its keys, a row each).
#pragma once

#include <span>
#include <string_view>

#include "control/config/config.hpp"
#include "control/config/mapping.hpp"

namespace sluice::control {

/// A key of a virtual device and the device argument that it becomes.
struct DeviceArgument {
  enum class Kind : std::uint8_t {
    interface,  ///< a Linux interface's name
    path,       ///< a UNIX socket's or a file's
    word,       ///< any text that cannot be taken for more arguments; at most `most` bytes
    number,     ///< from `least` to `most`
    choice,     ///< one of `choices`
    flag,       ///< true or false: 1 or 0
  };
  std::string_view key;
  std::string_view argument;
  Kind kind;
  bool required = false;
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::span<const std::string_view> choices{};
  std::string_view claim{};  ///< what nobody else may have: "interface" and the value; empty: may be shared
};

struct PortType {
  std::string_view name;
  std::uint16_t default_queues;
  std::uint16_t most_queues;
  std::uint16_t default_queue_size;
  std::uint16_t most_queue_size;
  std::string_view driver{};  ///< virtual device: what its name begins with
  std::span<const DeviceArgument> arguments{};
  std::string_view queues_argument{};  ///< how the device is told its number of queues
  std::string_view log2_queue_size_argument{};
  std::string_view constant_arguments{};
  std::size_t longest_name = 0;  ///< of the port, where its device cannot have any; 0: can
  /// What a table cannot say: a whole type, or combinations that cannot be.
  void (*read)(Mapping& keys, PortConfig& port) = nullptr;
};

[[nodiscard]] std::span<const PortType> port_types();

/// Reads the keys that belong to the type alone into `port` (name, queues and queue_size are there already).
void read_type_keys(const PortType& type, Mapping& keys, PortConfig& port);

}  // namespace sluice::control
