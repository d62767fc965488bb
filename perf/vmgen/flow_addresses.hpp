// FlowAddresses: which IPv4 addresses and ports the frames of a flow carry. Pure arithmetic: no table, no state.
#pragma once

#include <cstdint>

#include "perf/vmgen/options.hpp"

namespace sluice::vmgen {

/// In host byte order.
struct FlowAddress {
  std::uint32_t src_ip;
  std::uint32_t dst_ip;
  std::uint16_t src_port;
  std::uint16_t dst_port;
  bool operator==(const FlowAddress&) const = default;

  /// As frames carry them, in registers as ProbeWords are.
  struct Words {
    std::uint64_t ips_be;    ///< source first
    std::uint32_t ports_be;  ///< source first
  };
  [[nodiscard]] Words words() const {
    return {__builtin_bswap32(src_ip) | std::uint64_t{__builtin_bswap32(dst_ip)} << 32,
            __builtin_bswap16(src_port) | std::uint32_t{__builtin_bswap16(dst_port)} << 16};
  }
};

/// Of one sender and one receiver. Any two of the first capacity() flows differ in what `vary` names, and no two pairs
/// of sender and receiver share an address pair: senders are (16 + number).0.0.0/8, receivers (80 + number).0.0.0/8.
class FlowAddresses {
 public:
  static constexpr std::uint64_t kAddresses = std::uint64_t{1} << 24;
  static constexpr std::uint32_t kPorts = 64'000;
  static constexpr std::uint32_t kFirstPort = 1024;

  /// How many flows are told apart.
  static constexpr std::uint64_t capacity(const Vary& vary) {
    const bool both_ports = vary.src_port && vary.dst_port;
    const std::uint64_t ports = both_ports                       ? std::uint64_t{kPorts} * kPorts
                                : vary.src_port || vary.dst_port ? kPorts
                                                                 : 1;
    const std::uint64_t addresses = vary.src_ip || vary.dst_ip ? kAddresses : 1;
    return ports > addresses ? ports : addresses;
  }

  FlowAddresses(const Vary& vary, std::uint8_t sender, std::uint8_t receiver)
      : vary_{vary}, base_{(16U + sender) << 24 | 1, (80U + receiver) << 24 | 1, 4000, 5000} {}

  [[nodiscard]] FlowAddress of(std::uint32_t flow) const {
    FlowAddress address = base_;
    const std::uint32_t in_net = flow & (kAddresses - 1);
    if (vary_.src_ip) address.src_ip = (base_.src_ip & 0xff000000) | in_net;
    if (vary_.dst_ip) address.dst_ip = (base_.dst_ip & 0xff000000) | in_net;
    if (vary_.src_port) address.src_port = static_cast<std::uint16_t>(kFirstPort + flow % kPorts);
    if (vary_.dst_port) {
      const std::uint32_t digit = vary_.src_port ? flow / kPorts : flow;
      address.dst_port = static_cast<std::uint16_t>(kFirstPort + digit % kPorts);
    }
    return address;
  }

 private:
  Vary vary_;
  FlowAddress base_;
};

}  // namespace sluice::vmgen
