// FrameWriter: makes the frames of one sender to one receiver, of one length. The head is kept ready and copied; what
// differs from frame to frame is written over it. Holds no frame; one thread's.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "perf/vmgen/flow_addresses.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/probe.hpp"

namespace sluice::vmgen {

class FrameWriter {
 public:
  struct Settings {
    Mac src;
    Mac dst;
    Protocol protocol;
    bool checksum_offload;  ///< TCP's checksum field holds the pseudo header's sum alone
    std::uint32_t length;   ///< of the frame, kHead at least
  };

  explicit FrameWriter(const Settings& settings);

  [[nodiscard]] std::uint32_t length() const { return length_; }

  /// Writes the frame's first kHead bytes. `body_sum`: the 16-bit sum of what follows them; plain_body_sum() for the
  /// body that write_plain_body leaves.
  void write_head(std::uint8_t* head, ProbeWords probe, FlowAddress::Words flow, std::uint32_t body_sum) const;
  [[nodiscard]] std::uint32_t plain_body_sum() const { return plain_body_sum_; }

 private:
  alignas(64) std::array<std::uint8_t, kHead> head_{};
  std::uint32_t length_;
  std::uint32_t ip_sum_ = 0;      ///< of the IPv4 header without addresses
  std::uint32_t pseudo_sum_ = 0;  ///< of the pseudo header without addresses
  std::uint32_t tcp_sum_ = 0;     ///< of the TCP header's and payload's constant words
  std::uint32_t plain_body_sum_ = 0;
  Protocol protocol_;
  bool offload_;
};

/// The body, what follows the head, in words of 8 bytes: it depends on the probe's flow, number and sender (`full`), or
/// is the same in all frames.
std::uint64_t body_key(ProbeWords probe);
constexpr std::uint64_t kPlainBodyKey = 0;
/// Writes the part of the body that begins `offset` bytes (a multiple of 8) into it.
void write_body(std::span<std::uint8_t> part, std::uint64_t key, std::size_t offset);
bool body_is_intact(std::span<const std::uint8_t> body, std::uint64_t key);

/// The ones' complement sum of `bytes` (an even number unless the last part) as 16-bit words in host order.
std::uint32_t sum_of(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0);

}  // namespace sluice::vmgen
