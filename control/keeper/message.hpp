// What keeper and worker say to each other: one packet of a SOCK_SEQPACKET pair each: a Message, a text behind it where
// there is one, and at most one descriptor (SCM_RIGHTS).
//
// Both sides are parts of one program, but not always of one version: kProtocol is passed on the worker's command line,
// and a worker that knows another refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include <tl/expected.hpp>

#include "ports/unique_fd.hpp"

namespace sluice::control {

inline constexpr std::uint32_t kKeeperProtocol = 7;

/// What a kept descriptor is. The first are those of ports::vhost::Heirloom, in its order, of a port's slot.
enum class Kept : std::uint8_t {
  listener,
  connection,
  memory,
  dirty_log,
  kick,
  call,
  err,
  control_socket = 64,  ///< the switch's own: listening
};

/// In the place of a slot: the switch's own.
inline constexpr std::uint32_t kNoSlot = 0xffffffff;

enum class Saying : std::uint8_t {
  // Either way: what is kept. A worker says so of its own; to one that stands by the keeper says it again.
  keep = 1,     ///< slot, kind, index, and the descriptor
  forget,       ///< slot, kind, index
  forget_slot,  ///< slot: all of it
  // A worker reports.
  ready,          ///< all is done that can be done before go; text: its version
  wants_alone,    ///< it waits for `alone`
  taken_up,       ///< guests are served
  running,        ///< it works, and from now on has a heartbeat
  refused,        ///< it ends; text: why, as it has told already
  parking,        ///< told to hand over, it has closed devices, and serves guests no more from now on
  handed_over,    ///< its PMDs are parked at a burst's end
  wants_upgrade,  ///< text: what UpgradeRequest says
  flows_listed,   ///< told to, it has; index: as it was told; the list, or nothing if there is none
  flows_adopted,  ///< told to, it has
  // The keeper commands.
  alone,       ///< nothing is left of workers that have died: what they had is free. To be said anew after go
  go,          ///< take up the ports, and those that are devices when alone; index 1: another waits, who goes on if not
  list_flows,  ///< write down which there are; index: any number
  adopt_flows,  ///< what the one that has the ports gave, before go
  hand_over,    ///< park, report, and wait for resume or leave
  resume,       ///< the other has not come up: go on
  leave,        ///< the other has: end, and touch nothing
  stop,         ///< end in order; nobody comes after
  upgraded,     ///< text: empty, or why not
  proven,       ///< to one that is running: nobody of another version follows, who would need what this one does not
};

struct Message {
  Saying saying;
  Kept kind = {};
  std::uint16_t reserved = 0;
  std::uint32_t slot = kNoSlot;
  std::uint32_t index = 0;
};
static_assert(sizeof(Message) == 12 && std::is_trivially_copyable_v<Message>);
/// The service manager hands them to a keeper that may be of another version: who changes this, or the numbers of Kept,
/// raises SharedState::kLayout.
static_assert(static_cast<int>(Saying::keep) == 1 && static_cast<int>(Kept::control_socket) == 64);

struct Received {
  Message message;
  std::string text;
  ports::UniqueFd fd;
};

inline constexpr std::size_t kMaxSayingBytes = 8192;  ///< of a text; what is longer is cut

enum class SendResult : std::uint8_t { sent, full, gone };
/// Sends one; never raises SIGPIPE. `full` only with `wait` false, or if the socket is non-blocking.
[[nodiscard]] SendResult send_message(int socket, const Message& message, std::string_view text, int fd, bool wait);

enum class Nothing : std::uint8_t { yet, ever };
/// Takes one. Of a packet that is none of these, `ever`: there is no talking to such a peer.
[[nodiscard]] tl::expected<Received, Nothing> receive_message(int socket, bool wait);
/// The same without waiting, and leaves it where it is: whoever comes next finds it too.
[[nodiscard]] tl::expected<Received, Nothing> peek_message(int socket);

}  // namespace sluice::control
