// InMbuf: a frame that lies in an mbuf; and bytes for it, each unlike its neighbours, so that any shift shows.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>

#include "tests/unit/execute/world.hpp"

namespace sluice::test {

inline Bytes counting(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

/// Owns the mbuf, unless somebody takes it.
struct InMbuf {
  std::array<ports::Segment, ports::kMaxSegments> storage;
  ports::Frame frame{};
  std::optional<ports::DropReason> reason;

  explicit InMbuf(rte_mbuf* mbuf) : reason(ports::from_mbuf(mbuf, storage, frame)) {}
  ~InMbuf() {
    if (!reason && frame.mbuf != nullptr) rte_pktmbuf_free(frame.mbuf);
  }
};

/// Mbufs laid out as a device might: pieces of `size` bytes with `headroom` in front.
inline rte_mbuf* pieces(const Bytes& bytes, std::size_t size, std::uint16_t headroom) {
  rte_mbuf* first = nullptr;
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(shared_pool());
    mbuf->data_off = headroom;
    const std::size_t part = std::min(size, bytes.size() - at);
    std::copy_n(&bytes[at], part, rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(part)));
    if (first == nullptr) {
      first = mbuf;
    } else {
      rte_pktmbuf_chain(first, mbuf);
    }
  }
  return first;
}

}  // namespace sluice::test
