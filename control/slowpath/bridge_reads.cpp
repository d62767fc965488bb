#include "control/slowpath/bridge_reads.hpp"

#include <bit>

#include "control/slowpath/vlan.hpp"

namespace sluice::control {
namespace {

using flowtable::FlowKey;

constexpr std::uint16_t big_endian(std::uint16_t host) { return static_cast<std::uint16_t>(host << 8U | host >> 8U); }

void read_outer_vid(FlowKey& fields) {
  fields.tag_kinds |= 0x0fU;
  fields.outer_tci_be |= big_endian(0x0fff);
}

}  // namespace

FlowKey admission_reads(const VlanConfig& port) {
  FlowKey fields{};
  if (refuses_some(port)) read_outer_vid(fields);
  return fields;
}

FlowKey rule_reads(const VlanConfig& port, const Rule* rule) {
  FlowKey fields{};
  bool normal = rule == nullptr;
  bool pops = false;     // before a `normal`: the tag below comes to light
  bool goes_on = false;  // after a `normal`: the tag is put back as it was
  bool popped = false;
  if (rule != nullptr) {
    for (const auto& action : rule->actions) {
      goes_on |= normal;
      if (action.kind == RuleAction::Kind::normal) {
        normal = true;
        pops |= popped;
      }
      popped |= action.kind == RuleAction::Kind::edit && action.action.kind == flowtable::ActionKind::pop_vlan;
    }
  }
  if (!normal) return fields;
  fields.dl_dst.bytes.fill(0xff);
  fields.dl_src.bytes.fill(0xff);
  if (!reads_tags(port)) return fields;
  read_outer_vid(fields);
  if (pops) {
    fields.tag_kinds |= 0xf0U;
    fields.inner_tci_be = big_endian(0x0fff);
  }
  if (goes_on) {
    fields.outer_tci_be = 0xffff;
    if (pops) fields.inner_tci_be = 0xffff;
  }
  return fields;
}

}  // namespace sluice::control
