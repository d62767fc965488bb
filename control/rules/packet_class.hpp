// packet_class: what is certain of every packet of a class, and which class a key is of.
//
// These are the promises of datapath/parse, written down once more for those who reason about keys without packets:
// class masks, and packets that are made up (`sluice trace`).
#pragma once

#include "flowtable/flow_key.hpp"

namespace sluice::control {

/// Bits that have the same value in every key of a class: masked(key, facts.mask) == facts.value.
struct ClassFacts {
  flowtable::FlowKey value;
  flowtable::FlowKey mask;
};

/// Class `other` says nothing of its ethertype: an IP header that is cut off is keyed by 0x0800 alone.
[[nodiscard]] const ClassFacts& class_facts(flowtable::PacketClass c);

/// The class of a whole packet with these fields: no header cut off. Reads ethertype, nw_proto and nw_frag only.
[[nodiscard]] flowtable::PacketClass class_of(const flowtable::FlowKey& key);

}  // namespace sluice::control
