// parse on any bytes: reads nothing beyond the head, and keeps what its header promises.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "datapath/parse.hpp"

namespace {

using sluice::flowtable::FlowKey;
using sluice::flowtable::PacketClass;

void require(bool promise) {
  if (!promise) std::abort();
}

std::uint32_t l4_size(PacketClass packet_class) {
  switch (packet_class) {
    case PacketClass::ipv4_tcp:
    case PacketClass::ipv6_tcp: return 20;
    case PacketClass::ipv4_udp:
    case PacketClass::ipv6_udp: return 8;
    case PacketClass::ipv4_sctp:
    case PacketClass::ipv6_sctp: return 12;
    case PacketClass::ipv4_icmp:
    case PacketClass::ipv6_icmp: return 4;
    case PacketClass::other:
    case PacketClass::arp:
    case PacketClass::ipv4_other:
    case PacketClass::ipv4_fragment:
    case PacketClass::ipv6_other:
    case PacketClass::ipv6_fragment: return 0;
  }
  std::abort();
}

}  // namespace

// The first two bytes: whether the frame asks for segmentation, and how much longer it is than its head.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t head_size = size - 2;
  const auto bytes = std::make_unique<std::uint8_t[]>(sluice::ports::kHeadroom + head_size);
  sluice::ports::Frame frame{};
  frame.head = bytes.get() + sluice::ports::kHeadroom;
  if (head_size != 0) std::memcpy(frame.head, data + 2, head_size);
  frame.head_size = static_cast<std::uint32_t>(head_size);
  frame.size = frame.head_size + data[1] * 8U;
  frame.offload.gso_type = data[0] & 1U;

  FlowKey key;
  std::memset(&key, 0xff, sizeof key);
  if (const auto dropped = sluice::datapath::parse(frame, 1, key)) {
    require((*dropped == sluice::ports::DropReason::rx_runt) == (frame.size < 14));
    return 0;
  }
  const auto packet_class = static_cast<PacketClass>(key.packet_class);
  const std::uint32_t l4 = l4_size(packet_class);
  require(key.mask_generation == 0 && key.reserved == 0 && key.in_port == 1);
  require((frame.l3_offset != 0) == (packet_class != PacketClass::other));
  require((frame.l4_offset != 0) == (l4 != 0));
  require(l4 == 0 || frame.l4_offset + l4 <= std::min(frame.head_size, sluice::ports::kHeadSize));
  require(l4 != 0 || (key.tp_src_be | key.tp_dst_be) == 0);

  // Pure: the same again.
  FlowKey again{};
  require(!sluice::datapath::parse(frame, 1, again).has_value() && again == key);
  return 0;
}
