// DropReason: why a frame went no further. Every frame that is not transmitted is counted under exactly one of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::ports {

/// One row a reason: X(enumerator, what an operator reads). Counted against the in-port, from tx_ on against the
/// port the frame was to leave through.
#define SLUICE_DROP_REASONS(X)                                                                   \
  X(rx_bad_descriptor, "descriptor chain looped, outside of guest memory, or malformed")         \
  X(rx_chain_too_long, "descriptor chain of more segments than a frame may have")                \
  X(rx_bad_offload, "virtio-net header asks for a checksum or segmentation that cannot be")      \
  X(rx_queue_disabled, "the guest sent on a queue that it has disabled")                         \
  X(rx_runt, "shorter than an Ethernet header")                                                  \
  X(rx_too_long, "longer than any frame may be")                                                 \
  X(rx_headers_too_long, "headers reach beyond the bytes that are looked at")                    \
  X(rx_no_memory, "no buffer to lay a device's frame out anew in")                               \
  X(flow_table_full, "no room for one more flow")                                                \
  X(upcall_port_limit, "the port has too many flows that wait for a decision")                   \
  X(upcall_flow_limit, "too many packets of one flow wait for its decision")                     \
  X(upcall_no_memory, "no buffer to keep a packet in until its flow is decided")                 \
  X(upcall_stopped, "the decision was given up: its port went away")                             \
  X(rule, "a rule says drop")                                                                    \
  X(rule_no_output, "the rule's actions send it nowhere")                                        \
  X(vlan_not_allowed, "the in-port does not carry this VLAN, or takes no tagged frames")         \
  X(reserved_address, "to a link-local address that bridges do not forward (01:80:c2:00:00:0x)") \
  X(same_port, "the destination is behind the port it came from")                                \
  X(no_destination, "no other port carries its VLAN, or its address is unknown and not flooded") \
  X(ttl_expired, "TTL or hop limit used up")                                                     \
  X(port_gone, "the port to send to is no longer there")                                         \
  X(tx_not_connected, "no guest is connected, or the link is down")                              \
  X(tx_ring_full, "the receiver has no buffers free")                                            \
  X(tx_bad_descriptor, "the receiver's buffers are malformed")                                   \
  X(tx_buffer_too_small, "the receiver's buffer is smaller than the frame")                      \
  X(tx_mtu, "longer than the port's MTU")                                                        \
  X(tx_offload, "a checksum or segmentation that could not be done in software")                 \
  X(tx_no_memory, "no buffer to transmit from")

enum class DropReason : std::uint8_t {
#define SLUICE_X(name, text) name,
  SLUICE_DROP_REASONS(SLUICE_X)
#undef SLUICE_X
};

inline constexpr std::size_t kDropReasons = 0
#define SLUICE_X(name, text) +1
    SLUICE_DROP_REASONS(SLUICE_X)
#undef SLUICE_X
    ;

/// The enumerator's name, as it is shown and as JSON has it.
[[nodiscard]] constexpr std::string_view name(DropReason reason) {
  switch (reason) {
#define SLUICE_X(name, text) \
  case DropReason::name: return #name;
    SLUICE_DROP_REASONS(SLUICE_X)
#undef SLUICE_X
  }
  return "unknown";
}

/// One line on what it means.
[[nodiscard]] constexpr std::string_view explanation(DropReason reason) {
  switch (reason) {
#define SLUICE_X(name, text) \
  case DropReason::name: return text;
    SLUICE_DROP_REASONS(SLUICE_X)
#undef SLUICE_X
  }
  return "unknown";
}

}  // namespace sluice::ports
