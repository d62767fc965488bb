// Stream: the frames from one VM to another one (or to all): their flows, numbers and heads. Owned by its Sender.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "perf/vmgen/flow_addresses.hpp"
#include "perf/vmgen/flow_picker.hpp"
#include "perf/vmgen/frame_writer.hpp"
#include "perf/vmgen/huge_array.hpp"
#include "perf/vmgen/options.hpp"

namespace sluice::vmgen {

/// Who sends to whom.
struct Route {
  std::uint8_t sender;
  std::uint8_t receiver;  ///< number of the VM, or kEveryone
  Mac dst;
};

/// All routes of a pattern.
std::vector<Route> routes_of(const Options& options);
/// Whether frames of `route` are to arrive at VM `number`.
bool arrives_at(const Route& route, std::size_t number);

class Stream {
 public:
  Stream(const Options& options, const Route& route);

  [[nodiscard]] const Route& route() const { return route_; }

  /// Numbers begin at 0 again, counts too; flows that were new are not new any more.
  void begin();

  /// The flow of the next frame.
  std::uint32_t next_flow() {
    if (chosen_at_ == chosen_.size()) choose();
    return chosen_[chosen_at_++];
  }
  std::uint32_t next_number(std::uint32_t flow) { return numbers_[flow]++; }
  /// A flow that no frame was ever of.
  std::uint32_t new_flow() { return next_new_flow_++; }
  /// The first one that new_flow() returns in this run.
  [[nodiscard]] std::uint32_t first_new_flow() const { return first_new_flow_; }

  /// Heads for the next frame's length.
  const FrameWriter& next_writer() {
    if (writers_.size() == 1) return writers_[0];
    if (++size_turn_ == 12) size_turn_ = 0;
    return imix_writer();
  }
  [[nodiscard]] FlowAddress address_of(std::uint32_t flow) const { return addresses_.of(flow); }

  std::uint64_t sent = 0;      ///< counted by the Sender
  std::uint64_t sent_new = 0;  ///< of these, of new flows

 private:
  void choose();
  [[nodiscard]] const FrameWriter& imix_writer() const;

  Route route_;
  FlowAddresses addresses_;
  FlowPicker picker_;
  HugeArray<std::uint32_t> numbers_;
  std::array<std::uint32_t, 32> chosen_{};
  std::size_t chosen_at_ = chosen_.size();
  std::uint32_t first_new_flow_;
  std::uint32_t next_new_flow_;
  std::vector<FrameWriter> writers_;
  unsigned size_turn_ = 0;
};

}  // namespace sluice::vmgen
