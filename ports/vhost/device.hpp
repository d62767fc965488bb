// Device: the vhost-user protocol's state machine for one port. Messages in; replies, features, memory and running
// rings out. Knows nothing of sockets.
//
// Control thread. A message is checked completely before anything changes; after an error the owner closes the
// connection and calls reset().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/port.hpp"
#include "ports/unique_fd.hpp"
#include "ports/vhost/estate.hpp"
#include "ports/vhost/message.hpp"
#include "ports/vhost/region_slots.hpp"
#include "ports/vhost/rings.hpp"

namespace sluice::ports::vhost {

/// A message as it came: shape not yet checked beyond the header's.
struct Message {
  MessageHeader header;
  std::span<const std::uint8_t> payload;
  std::vector<UniqueFd> fds;
};

/// Every reply that there is carries 8 bytes: a u64 or a vring state.
struct Reply {
  MessageHeader header;
  std::array<std::uint8_t, 8> payload;
};
static_assert(sizeof(Reply) == 20);

struct Outcome {
  std::optional<Reply> reply;  ///< to be sent before the connection is closed, if it is
  std::string error;           ///< empty: all is well. Else: what was wrong, with the message's name
};

/// Empty if a message with this header can be; else what is wrong. Tells before the payload is read.
[[nodiscard]] std::string check_header(const MessageHeader& header);

class Device {
 public:
  struct Options {
    unsigned queue_pairs = 1;                 ///< at most kMaxQueuePairs
    std::uint32_t mtu = 1500;                 ///< the largest that NET_SET_MTU may ask for
    int alarm_eventfd = -1;                   ///< written when memory_lost() or held_up_a_pmd() becomes true
    std::uint32_t queue_size = kMaxRingSize;  ///< the largest that SET_VRING_NUM may ask for
  };
  struct Events {
    std::function<void()> wait_for_pmds;
    std::function<void()> queues_changed;
    std::function<void(const std::uint8_t (&mac)[6])> announced;
    std::function<void(Severity, const std::string&)> log;
    /// The guest's memory is on a NUMA node that it was not on, or not known to be on, before.
    std::function<void(int node)> moved_to_node = [](int) {};
  };

  /// What the device is, is in `estate`, which outlives it and is its alone.
  Device(const Options& options, Events events, Estate& estate);

  /// The same message handled again, as by a successor that finds it in the socket still, changes nothing.
  [[nodiscard]] Outcome handle(Message message);
  /// The front end is gone: takes all rings back, frees its memory and fds, forgets what was negotiated.
  void reset();

  using Done = tl::expected<void, std::string>;
  /// Takes up the connection that the estate knows, in two steps. The first checks it all as if the front end had just
  /// said it, maps the memory and makes the rings; it changes nothing that anybody sees, and may be repeated. The
  /// second has PMDs go on where the rings stand by then. An error says why this connection cannot go on: reset() it.
  [[nodiscard]] Done prepare();
  [[nodiscard]] Done take_over();
  /// Instead of that: memory and descriptors are let go.
  void let_go_of_prepared();
  /// Whether it is one for this device at all, whatever becomes of its descriptors; may be asked while another works
  /// it.
  [[nodiscard]] Done suits() const;
  /// Once PMDs poll what was taken over: interrupts its drivers, who may have missed one.
  void interrupt_resumed() { rings_.interrupt_resumed(); }
  /// Of what was prepared, what takes milliseconds: so that no PMD has to stop for a page of the guest's once it is
  /// taken over, and that what PMDs write of the port is on the guest's NUMA node.
  void settle_prepared();
  /// The same after take_over(), where there was no time before. PMDs may be at work.
  void settle();

  /// Rings of the guest's transmit queues that run: what the switch receives from.
  [[nodiscard]] std::vector<VhostQueue*> rx_queues();
  /// Rings of the guest's receive queues that run and are enabled.
  [[nodiscard]] std::vector<VhostQueue*> tx_queues();
  /// True once guest memory or the dirty log was cut off.
  [[nodiscard]] bool memory_lost() const;
  /// True once a PMD, or this thread, had to wait in a write to one of the guest's eventfds.
  [[nodiscard]] bool held_up_a_pmd() const { return rings_.held_up_a_pmd(); }
  /// The same, and forgets it. After reset(): until then a PMD may still be waiting.
  [[nodiscard]] bool forgive() { return rings_.forgive(); }
  /// The NUMA node that most of the guest's memory is on; -1: not known. As it was when the memory was given, or,
  /// if the guest had not yet used it then, when its rings last changed; after take_over() what was known before.
  [[nodiscard]] int numa_node() const { return numa_node_; }

  [[nodiscard]] const PortState& state() const { return state_; }
  [[nodiscard]] const Rings& rings() const { return rings_; }
  [[nodiscard]] const Options& options() const { return options_; }

  /// What GET_FEATURES and GET_PROTOCOL_FEATURES answer.
  static const std::uint64_t kFeatures;
  static const std::uint64_t kProtocolFeatures;

 private:
  using Answer = std::optional<std::uint64_t>;
  using Result = tl::expected<Answer, std::string>;

  Result dispatch(const MessageShape& shape, Message& message);
  Done set_features(std::uint64_t features);
  Done set_protocol_features(std::uint64_t features);
  Done set_mem_table(Message& message);
  Done add_mem_reg(Message& message);
  Done rem_mem_reg(Message& message);
  Done use_memory(GuestMemory memory, Rings::Uncovered uncovered);
  Done set_log_base(Message& message);
  [[nodiscard]] tl::expected<Rings::Log, std::string> resume_log();
  void forget_stray_logs();
  Done set_log_fd(Message& message);
  Result get_vring_base(const VringState& message);
  Done set_vring_fd(Request request, Message& message);
  Done set_vring_num(const VringState& message);
  Answer net_set_mtu(std::uint64_t mtu);
  Done send_rarp(std::uint64_t payload) const;
  Done set_status(std::uint64_t status);
  [[nodiscard]] bool queues_have_changed();
  void tell_queues_changed() const;

  // Where the guest's memory is (device_node.cpp).
  void find_node();
  void ask_node(const GuestMemory& memory);
  void move_to_node();

  Options options_;
  Events events_;
  Estate& estate_;
  PortState& state_;
  RegionSlots slots_;
  Rings rings_;
  int numa_node_ = -1;
  int moved_to_ = -1;                 ///< the node that what PMDs write of the port was moved to
  std::vector<VhostQueue*> told_rx_;  ///< the lists that queues_changed was last called for
  std::vector<VhostQueue*> told_tx_;
};

}  // namespace sluice::ports::vhost
