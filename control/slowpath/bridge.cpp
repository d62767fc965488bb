#include "control/slowpath/bridge.hpp"

#include <array>

#include "control/rules/values.hpp"

namespace sluice::control {
namespace {

using flowtable::Action;
using flowtable::ActionKind;
using flowtable::MacAddress;
using flowtable::PortId;
using flowtable::TagKind;
using ports::DropReason;

/// 01:80:c2:00:00:00 to 0f stay on their link (IEEE 802.1Q, table 8-1).
bool is_reserved(const MacAddress& mac) {
  return mac.bytes[0] == 0x01 && mac.bytes[1] == 0x80 && mac.bytes[2] == 0xc2 && mac.bytes[3] == 0 &&
         mac.bytes[4] == 0 && mac.bytes[5] < 0x10;
}

class Forwarding {
 public:
  Forwarding(const BridgeState& state, PortId in_port, const Headers& headers, Outcome& outcome, Trace* trace)
      : state_(state), in_port_(in_port), headers_(headers), outcome_(outcome), trace_(trace) {}

  std::optional<DropReason> run(bool undo) {
    const auto* port = state_.ports->find(in_port_);
    if (port == nullptr) return DropReason::port_gone;
    const auto admission = admit(port->vlan, headers_.outer());
    if (!admission) {
      say("bridge: " + port->name + " " + why_refused(port->vlan, headers_.outer()) + ": dropped");
      return DropReason::vlan_not_allowed;
    }
    admission_ = *admission;
    // A tunnel's frames are under an S-tag between here and the tunnel's other end.
    push_kind_ = port->vlan.mode == VlanConfig::Mode::dot1q_tunnel ? TagKind::dot1ad : TagKind::dot1q;
    if (is_reserved(headers_.dl_dst)) {
      say("bridge: " + write_mac(headers_.dl_dst) + " is a reserved address: dropped");
      return DropReason::reserved_address;
    }
    learn();
    if (const auto reason = choose_ports()) return reason;
    emit(undo);
    return std::nullopt;
  }

 private:
  void say(std::string line) {
    if (trace_ != nullptr) trace_->push_back(std::move(line));
  }

  void learn() {
    if (headers_.dl_src.is_multicast()) {
      say("bridge: " + write_mac(headers_.dl_src) + " is a group address and no source to learn");
      return;
    }
    const auto key = fdb_key(admission_.vlan, headers_.dl_src);
    outcome_.learn.push_back(key);
    outcome_.dependencies.push_back({Dependency::Kind::source, key});
    if (trace_ == nullptr) return;
    const auto known = state_.fdb->lookup(key);
    say("bridge: source " + write_mac(headers_.dl_src) + " in VLAN " + std::to_string(admission_.vlan) +
        (known == in_port_ ? " is known here"
         : known           ? " moves here from " + state_.ports->name(*known)
                           : " is new and is learnt here"));
  }

  std::optional<DropReason> choose_ports() {
    const std::string to = trace_ == nullptr ? "" : "bridge: " + write_mac(headers_.dl_dst);
    if (!headers_.dl_dst.is_multicast()) {
      const auto key = fdb_key(admission_.vlan, headers_.dl_dst);
      outcome_.dependencies.push_back({Dependency::Kind::destination, key});
      if (const auto known = state_.fdb->lookup(key)) return send_to(*known);
      if (!state_.flood_unknown) {
        say(to + " is unknown, and unknown addresses are not flooded: dropped");
        return DropReason::no_destination;
      }
    }
    say(to + (headers_.dl_dst.is_multicast() ? " is a group address" : " is unknown") + ": flooded in VLAN " +
        std::to_string(admission_.vlan));
    outcome_.dependencies.push_back({Dependency::Kind::flood, fdb_key(admission_.vlan, MacAddress{})});
    for (const PortId id : state_.ports->ids()) {
      if (id != in_port_ && carries(state_.ports->find(id)->vlan, admission_.vlan)) add(id);
    }
    if (!any_) {
      say("bridge: no other port carries VLAN " + std::to_string(admission_.vlan) + ": dropped");
      return DropReason::no_destination;
    }
    return std::nullopt;
  }

  std::optional<DropReason> send_to(PortId id) {
    if (id == in_port_) {
      say("bridge: " + write_mac(headers_.dl_dst) + " is behind the port it came from: dropped");
      return DropReason::same_port;
    }
    const auto* port = state_.ports->find(id);
    // Whatever the FDB says, a frame does not leave through a port that does not carry its VLAN.
    if (port == nullptr || !carries(port->vlan, admission_.vlan)) {
      say("bridge: " + write_mac(headers_.dl_dst) + " is behind " + state_.ports->name(id) +
          ", which does not carry VLAN " + std::to_string(admission_.vlan) + ": dropped");
      return DropReason::no_destination;
    }
    say("bridge: " + write_mac(headers_.dl_dst) + " is behind " + port->name);
    add(id);
    return std::nullopt;
  }

  void add(PortId id) {
    const auto edit = egress_edit(state_.ports->find(id)->vlan, admission_);
    groups_[static_cast<std::size_t>(edit)].push_back(id);
    any_ = true;
  }

  void output(TagEdit edit) {
    for (const PortId id : groups_[static_cast<std::size_t>(edit)]) {
      say("output to " + state_.ports->name(id));
      outcome_.actions.push_back({.kind = ActionKind::output, .value = id});
    }
  }

  [[nodiscard]] bool wanted(TagEdit edit) const { return !groups_[static_cast<std::size_t>(edit)].empty(); }

  void act(const char* what, const Action& action) {
    say(what);
    outcome_.actions.push_back(action);
  }

  void emit(bool undo) {
    output(TagEdit::none);
    if (wanted(TagEdit::retag)) {
      act("the priority tag becomes the VLAN's", set_vid(admission_.vlan));
      output(TagEdit::retag);
    }
    if (wanted(TagEdit::push)) {
      act(push_kind_ == TagKind::dot1ad ? "push the VLAN's 802.1ad tag" : "push the VLAN's 802.1Q tag",
          push_tag({push_kind_, admission_.vlan}));
      output(TagEdit::push);
    }
    if (wanted(TagEdit::pop)) {
      act("pop the tag", pop_tag());
      output(TagEdit::pop);
    }
    if (undo) put_back();
  }

  /// A frame is of one framing, so that what happened to its tags is one of these.
  void put_back() {
    if (wanted(TagEdit::pop)) {
      act("put the tag back", push_tag(headers_.outer()));
    } else if (wanted(TagEdit::retag)) {
      act("make it a priority tag again", set_vid(0));
    } else if (wanted(TagEdit::push)) {
      act("pop the tag again", pop_tag());
    }
  }

  const BridgeState& state_;
  const PortId in_port_;
  const Headers& headers_;
  Outcome& outcome_;
  Trace* trace_;
  Admission admission_{};
  TagKind push_kind_ = TagKind::dot1q;
  std::array<std::vector<PortId>, 4> groups_;  ///< by TagEdit
  bool any_ = false;
};

}  // namespace

std::optional<DropReason> bridge(const BridgeState& state, PortId in_port, const Headers& headers, bool undo,
                                 Outcome& outcome, Trace* trace) {
  return Forwarding(state, in_port, headers, outcome, trace).run(undo);
}

}  // namespace sluice::control
