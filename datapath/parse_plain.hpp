// parse_plain: the frame that nearly all are, untagged IPv4 without options that carries TCP or UDP, read in a few
// words in place of fields. Whatever is different about a frame, it is not plain, and parse_any() reads it. PMD thread.
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "datapath/wire.hpp"
#include "flowtable/flow_key.hpp"
#include "ports/frame.hpp"

namespace sluice::datapath {

inline constexpr std::uint32_t kPlainL3 = 14;
inline constexpr std::uint32_t kPlainL4 = kPlainL3 + 20;

/// What an IP protocol makes of a plain frame.
struct PlainProtocol {
  std::uint8_t packet_class;
  std::uint8_t headers;  ///< bytes, all of them; 0: a frame with this protocol is not plain
};
inline constexpr std::array<PlainProtocol, 256> kPlainProtocols = [] {
  std::array<PlainProtocol, 256> table{};
  table[6] = {static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_tcp), kPlainL4 + 20};
  table[17] = {static_cast<std::uint8_t>(flowtable::PacketClass::ipv4_udp), kPlainL4 + 8};
  return table;
}();
static_assert(kPlainL4 + 20 <= ports::kHeadSize, "what is looked at is the whole of a plain frame's headers");

/// Does what parse() does, if the frame is plain. If it is not, it returns false and has changed nothing.
[[nodiscard]] inline bool parse_plain(ports::Frame& frame, flowtable::PortId in_port, flowtable::FlowKey& key) {
  const std::uint8_t* const head = frame.head;
  if (frame.head_size < kPlainL4 + 8) [[unlikely]]
    return false;
  std::uint32_t type = 0;  // ethertype, version and IHL, TOS; as all words here with the first byte lowest
  std::memcpy(&type, head + 12, sizeof type);
  const PlainProtocol protocol = kPlainProtocols[head[kPlainL3 + 9]];
  const std::uint32_t end = kPlainL3 + read_be16(head + kPlainL3 + 2);
  const bool plain = (type & 0xff'ffffU) == 0x45'0008U &&                   // 0x0800, version 4, IHL 5
                     (load_be16(head + kPlainL3 + 6) & be(0x3fff)) == 0 &&  // more fragments, and the offset
                     protocol.headers != 0 && protocol.headers <= frame.head_size && protocol.headers <= end &&
                     end <= frame.size;
  if (!plain) [[unlikely]]
    return false;

  // Whole vectors, since the key is read in such again: a read of stores that are narrower waits until they are done.
  const auto at = [](const auto* p) { return reinterpret_cast<const __m128i*>(p); };
  std::uint64_t second = 0;  // the source's last bytes; the type, with the protocol where the version is in the frame
  std::memcpy(&second, head + 8, sizeof second);
  second = (second & ~(0xffULL << 48U)) | std::uint64_t{head[kPlainL3 + 9]} << 48U;
  const auto first = static_cast<std::int64_t>(in_port | std::uint64_t{protocol.packet_class} << 16U);
  const __m128i behind = _mm_loadu_si128(at(head + kPlainL3 + 8));  // TTL and so on, source, destination, ports
  auto* const words = reinterpret_cast<__m128i*>(&key);
  _mm_storeu_si128(words, _mm_unpacklo_epi64(_mm_cvtsi64_si128(first), _mm_loadl_epi64(at(head))));
  _mm_storeu_si128(words + 1, _mm_cvtsi64_si128(static_cast<std::int64_t>(second)));
  _mm_storeu_si128(words + 2, _mm_and_si128(behind, _mm_set_epi32(0, 0, -1, 0)));
  _mm_storeu_si128(words + 3, _mm_slli_si128(_mm_srli_si128(behind, 8), 4));
  frame.l3_offset = kPlainL3;
  frame.l4_offset = kPlainL4;
  return true;
}

}  // namespace sluice::datapath
