// MaskBook: the masks of all ports and classes, and their generations. Slow-path thread.
//
// A mask's generation is a part of every key that was masked with it. It counts up by one when the mask changes, and
// wraps after 65,536 changes. So that a key of long ago is never taken for one of now, a generation is not used again
// until all flows of before are known to be gone: a mask that has changed 65,534 times since then waits.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "control/slowpath/pipeline.hpp"
#include "datapath/view.hpp"

namespace sluice::control {

class MaskBook {
 public:
  /// The masks of a port, or of all, may be other ones now.
  void touch(flowtable::PortId port);
  void touch_all();

  /// Makes the masks of what was touched anew. The view to publish, or null if none has changed.
  [[nodiscard]] std::unique_ptr<const datapath::MaskView> rebuild(const Pipeline& pipeline);
  /// No flow of a generation but the newest is there any more, nor an upcall of one.
  void all_clean();

  /// Whether a key was masked with the mask that its port and class have now.
  [[nodiscard]] bool current(const flowtable::FlowKey& key) const;
  /// Of a port that was touched and rebuilt.
  [[nodiscard]] const flowtable::ClassMask& mask(flowtable::PortId port, flowtable::PacketClass packet_class) const {
    return view_.ports[port][static_cast<std::size_t>(packet_class)];
  }

 private:
  bool rebuild(flowtable::PortId port, const Pipeline& pipeline);

  datapath::MaskView view_;
  std::vector<std::array<std::uint16_t, flowtable::kPacketClasses>> clean_;  ///< as in view_: nothing older is left
  std::vector<bool> touched_;                                                ///< by PortId
};

}  // namespace sluice::control
