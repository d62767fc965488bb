#include "control/slowpath/mask_book.hpp"

namespace sluice::control {

using flowtable::PacketClass;
using flowtable::PortId;

void MaskBook::touch(PortId port) {
  if (port >= view_.ports.size()) {
    view_.ports.resize(std::size_t{port} + 1);
    clean_.resize(view_.ports.size());
    // Ids that are not there yet get masks as well: all zero would put their packets into each other's flows.
    touched_.resize(view_.ports.size(), true);
  }
  touched_[port] = true;
}

void MaskBook::touch_all() { touched_.assign(touched_.size(), true); }

std::unique_ptr<const datapath::MaskView> MaskBook::rebuild(const Pipeline& pipeline) {
  bool changed = false;
  for (std::size_t port = 0; port < touched_.size(); ++port) {
    if (touched_[port]) changed |= rebuild(static_cast<PortId>(port), pipeline);
  }
  return changed ? std::make_unique<const datapath::MaskView>(view_) : nullptr;
}

bool MaskBook::rebuild(PortId port, const Pipeline& pipeline) {
  bool changed = false;
  touched_[port] = false;
  for (std::size_t i = 0; i < flowtable::kPacketClasses; ++i) {
    auto& mask = view_.ports[port][i];
    const auto next = pipeline.mask(port, static_cast<PacketClass>(i));
    if (next == mask.mask) continue;
    if (static_cast<std::uint16_t>(mask.generation - clean_[port][i]) >= 0xfffe) {
      touched_[port] = true;  // later, when all_clean() was called
      continue;
    }
    mask.mask = next;
    ++mask.generation;
    changed = true;
  }
  return changed;
}

void MaskBook::all_clean() {
  for (std::size_t port = 0; port < clean_.size(); ++port) {
    for (std::size_t i = 0; i < flowtable::kPacketClasses; ++i) clean_[port][i] = view_.ports[port][i].generation;
  }
}

bool MaskBook::current(const flowtable::FlowKey& key) const {
  return key.in_port < view_.ports.size() && key.packet_class < flowtable::kPacketClasses &&
         view_.ports[key.in_port][key.packet_class].generation == key.mask_generation;
}

}  // namespace sluice::control
