// Actions: what is done with the packets of a flow. Built by the slow path, carried out by datapath/execute.
//
// An ActionList is immutable once published. Flows do not own it: they point to a Decision, a slot whose list the
// slow path may exchange at any time with one store. So a change that concerns a million flows of one decision (a
// MAC that moves, say) is one store, not a million commands. The slow path frees a list it has taken out only when
// every PMD has finished a loop since.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowtable/flow_key.hpp"

namespace sluice::flowtable {

enum class ActionKind : std::uint8_t {
  output,        ///< value: PortId. Sends the frame as it is at this point.
  drop,          ///< value: why, in the datapath's numbering (ports::DropReason). Always the last action.
  push_vlan,     ///< value: TCI in host order; bytes[0..1]: TPID in wire order
  pop_vlan,      ///< takes the outer tag off; nothing if there is none
  set_vlan_vid,  ///< value: 0 to 4095; pushes an 802.1Q tag if there is none (as mod_vlan_vid)
  set_vlan_pcp,  ///< value: 0 to 7; likewise
  set_dl_src,    ///< bytes[0..5]
  set_dl_dst,    ///< bytes[0..5]
  set_nw_src,    ///< bytes[0..3], IPv4 and ARP only
  set_nw_dst,    ///< bytes[0..3], IPv4 and ARP only
  set_ipv6_src,  ///< bytes, IPv6 only
  set_ipv6_dst,  ///< bytes, IPv6 only
  set_nw_tos,    ///< value: the DSCP in the upper six bits; ECN is kept
  set_tp_src,    ///< value: port in host order; TCP, UDP, SCTP (ICMP: the type)
  set_tp_dst,    ///< value: port in host order; TCP, UDP, SCTP (ICMP: the code)
  dec_ttl,       ///< TTL or hop limit; a packet that arrives with 0 or 1 is dropped
};

/// One action. Plain data, compared as bytes.
struct Action {
  ActionKind kind;
  std::uint8_t reserved = 0;
  std::uint16_t value = 0;
  std::array<std::uint8_t, 16> bytes{};

  bool operator==(const Action&) const = default;
};
static_assert(sizeof(Action) == 20 && std::has_unique_object_representations_v<Action>);

/// What is done with a packet, in order. Never empty: a packet that goes nowhere has a drop that says why.
class ActionList {
 public:
  /// `actions` must not be empty.
  explicit ActionList(std::vector<Action> actions)
      : actions_(std::move(actions)),
        only_output_(actions_.size() == 1 && actions_.front().kind == ActionKind::output ? actions_.front().value
                                                                                         : kNoPort) {}

  [[nodiscard]] std::span<const Action> actions() const { return actions_; }
  /// The port if the list is one output and nothing else, kNoPort otherwise: the fast path's fast path.
  [[nodiscard]] PortId only_output() const { return only_output_; }

  bool operator==(const ActionList& other) const { return actions_ == other.actions_; }

 private:
  std::vector<Action> actions_;
  PortId only_output_;
};

/// The slot that flows point to. Written by the slow path, read by PMDs.
class Decision {
 public:
  /// PMD: the list as of now; valid until the end of this PMD's loop.
  [[nodiscard]] const ActionList* actions() const {
    // acquire: the list's contents were written before the pointer.
    return actions_.load(std::memory_order_acquire);
  }
  /// Slow path: publishes a list and returns the one before, which PMDs may still be using.
  const ActionList* exchange(const ActionList* next) { return actions_.exchange(next, std::memory_order_acq_rel); }

 private:
  std::atomic<const ActionList*> actions_{nullptr};
};

}  // namespace sluice::flowtable
