// FrameReader: tells what a received frame is, and whether it is as it was sent. Holds a scratch buffer; one thread's.
#pragma once

#include <cstdint>
#include <vector>

#include "perf/vmgen/options.hpp"
#include "perf/vmgen/probe.hpp"

struct rte_mbuf;

namespace sluice::vmgen {

enum class FrameKind : std::uint8_t { kGood, kCorrupted, kForeign };

class FrameReader {
 public:
  FrameReader(Protocol protocol, Verify verify);

  /// Reads the probe into `probe`, which is set unless the frame is foreign. A frame that has the magic is one of ours,
  /// and corrupted if anything that was checked is not as written.
  FrameKind read(const rte_mbuf& frame, Probe& probe);

  /// The same for a frame in one piece; with `full`, `frame` is all of it, else its first kHead bytes will do.
  FrameKind read(const std::uint8_t* frame, std::uint32_t length, Probe& probe) const;

 private:
  [[nodiscard]] bool all_is_intact(const std::uint8_t* frame, std::uint32_t length, ProbeWords probe) const;

  ProbeLayout layout_;
  std::uint8_t ip_protocol_;
  Verify verify_;
  std::vector<std::uint8_t> scratch_;
};

}  // namespace sluice::vmgen
