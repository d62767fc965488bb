// FlowList: the flows of a worker, written down by its slow path for that of the worker which is to take over from it:
// keys as they were masked, and the masks.
//
// It is a memfd. Both ends are parts of one program, but not always of one version: a list that is not understood is
// refused, and flows begin with their next packets then. Which flows are in it is a matter of milliseconds ago anyway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "control/error.hpp"
#include "flowtable/flow_key.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

struct ListedFlow {
  std::size_t pmd;         ///< its place in the list of PMDs, below kMaxPmds
  flowtable::FlowKey key;  ///< as the flow table has it
  std::uint64_t idle_ns;   ///< since its last packet
};

class FlowListWriter {
 public:
  [[nodiscard]] static Expected<FlowListWriter> create();

  void add_flow(const ListedFlow& flow);
  /// Flows of a mask of which none is added, or another generation, are not read.
  void add_mask(flowtable::PortId port, flowtable::PacketClass packet_class, const flowtable::ClassMask& mask);
  /// The whole of it; nothing if there was no memory for it. Nothing is to be added afterwards.
  [[nodiscard]] ports::UniqueFd finish();

 private:
  struct Flow {
    flowtable::FlowKey key;
    std::uint32_t idle_ms;
    std::uint32_t pmd;
  };
  struct Mask {
    flowtable::FlowKey mask;
    flowtable::PortId port;
    std::uint16_t packet_class;
    std::uint16_t generation;
    std::uint16_t reserved = 0;
  };
  struct Head;
  friend class FlowListReader;

  explicit FlowListWriter(ports::UniqueFd file) : file_(std::move(file)) {}
  void write_flows();

  ports::UniqueFd file_;
  std::vector<Flow> flows_;  ///< to be written
  std::vector<Mask> masks_;
  std::uint64_t written_ = 0;  ///< flows
  bool failed_ = false;
};

class FlowListReader {
 public:
  [[nodiscard]] static Expected<FlowListReader> open(ports::UniqueFd file);

  /// Some more of the flows, until the next call, each with the mask that it was masked with; none if those were the
  /// last.
  using Flow = std::pair<ListedFlow, const flowtable::FlowKey*>;
  [[nodiscard]] std::span<const Flow> next();
  /// All that there are, those included that next() leaves out.
  [[nodiscard]] std::uint64_t size() const { return flows_; }

 private:
  FlowListReader(ports::UniqueFd file, std::uint64_t flows) : file_(std::move(file)), flows_(flows) {}

  ports::UniqueFd file_;
  std::uint64_t flows_;
  std::uint64_t read_ = 0;
  std::map<std::pair<flowtable::PortId, std::uint8_t>, flowtable::ClassMask> masks_;
  std::vector<FlowListWriter::Flow> buffer_;
  std::vector<Flow> listed_;
};

}  // namespace sluice::control
