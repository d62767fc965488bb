// Frame and Burst: what moves through the switch.
//
// The first bytes of a frame (its head) are private: bytes a guest can no longer change between the check and the
// use, and that actions may rewrite. The rest is borrowed, in guest memory or in mbufs, and is copied once, to where
// it goes. Nothing borrowed outlives the burst: receive borrows, release gives back.
//
// Owned by the PMD that runs the burst.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

struct rte_mbuf;

namespace sluice::ports {

inline constexpr unsigned kBurstSize = 32;
/// Writable bytes in front of a head: the virtio-net header and two more VLAN tags, with room to spare.
inline constexpr std::uint32_t kHeadroom = 64;
/// Bytes of a guest's frame that are copied into private memory and looked at.
inline constexpr std::uint32_t kHeadSize = 192;
/// What a frame may be longer than the MTU: an Ethernet header and two tags. The FCS is never there.
inline constexpr std::uint32_t kFrameOverhead = 14 + 8;
/// The longest frame: 64 KiB of payload a guest may send with TSO, and its headers.
inline constexpr std::uint32_t kMaxFrameSize = 65535 + kFrameOverhead;
/// The most pieces that one frame may be in.
inline constexpr unsigned kMaxSegments = 256;

/// A piece of a frame's rest, borrowed. A guest may change its bytes at any time: they are copied, never judged.
struct Segment {
  const std::uint8_t* data;
  std::uint32_t size;
};

/// What is still to be done to a frame, in the terms of the virtio-net header (virtio 1.2, 5.1.6). Little-endian on
/// the wire, and so here.
struct Offload {
  std::uint8_t flags = 0;         ///< kNeedsCsum, kDataValid
  std::uint8_t gso_type = 0;      ///< kGsoNone, kGsoTcpV4, kGsoTcpV6
  std::uint16_t hdr_len = 0;      ///< a hint, as the guest gave it
  std::uint16_t gso_size = 0;     ///< payload bytes a segment; not 0 unless kGsoNone
  std::uint16_t csum_start = 0;   ///< checksum from here, in bytes from the start of the frame
  std::uint16_t csum_offset = 0;  ///< and goes here, in bytes from csum_start

  static constexpr std::uint8_t kNeedsCsum = 1;
  static constexpr std::uint8_t kDataValid = 2;
  static constexpr std::uint8_t kGsoNone = 0;
  static constexpr std::uint8_t kGsoTcpV4 = 1;
  static constexpr std::uint8_t kGsoTcpV6 = 4;

  [[nodiscard]] bool needs_csum() const { return (flags & kNeedsCsum) != 0; }
  [[nodiscard]] bool any() const {
    std::uint16_t both = 0;  // flags, gso_type
    std::memcpy(&both, this, sizeof both);
    return both != 0;
  }
};
static_assert(sizeof(Offload) == 10 && offsetof(Offload, flags) == 0 && offsetof(Offload, gso_type) == 1);

/// What a frame may still need when it is transmitted; what is not here is done in software before.
struct TxCapabilities {
  bool checksum = false;
  bool tso4 = false;
  bool tso6 = false;
};

struct Frame {
  std::uint8_t* head;       ///< first byte of the Ethernet header; kHeadroom writable bytes in front
  std::uint32_t head_size;  ///< private, contiguous bytes from head on
  std::uint32_t size;       ///< of the whole frame: head_size + the rest
  const Segment* rest;      ///< the bytes behind the head, in order
  std::uint16_t rest_count;
  std::uint16_t l3_offset;  ///< of the network header, set by parse; 0 if there is none
  std::uint16_t l4_offset;  ///< of the transport header, set by parse; 0 if there is none
  std::uint16_t outputs;    ///< transmits still to come; the last one may take the mbuf
  Offload offload;
  rte_mbuf* mbuf;  ///< what the bytes are in if they came from an ethdev; null if borrowed from a guest
};

/// Private memory for one head.
struct alignas(64) HeadSlot {
  std::array<std::uint8_t, kHeadroom + kHeadSize> bytes;

  [[nodiscard]] std::uint8_t* head() { return bytes.data() + kHeadroom; }
};
static_assert(sizeof(HeadSlot) == 256);

/// A descriptor chain that receive has taken from a virtqueue and release gives back.
struct Borrowed {
  std::uint16_t id;           ///< split: index of the head descriptor; packed: the buffer id
  std::uint16_t descriptors;  ///< packed: how many ring slots the chain takes; split: 1
};

/// What one receive returned, and all that release needs.
struct Burst {
  static constexpr unsigned kSegments = 2 * kMaxSegments;

  unsigned count = 0;           ///< frames; those that receive had to drop are counted and not here
  unsigned borrowed_count = 0;  ///< chains to give back, dropped ones included (vhost)
  unsigned segment_count = 0;
  std::array<Frame, kBurstSize> frames;
  std::array<Borrowed, kBurstSize> borrowed;
  std::array<HeadSlot, kBurstSize> heads;
  std::array<Segment, kSegments> segments;

  [[nodiscard]] std::span<Frame> view() { return {frames.data(), count}; }
  void clear() { count = borrowed_count = segment_count = 0; }
};

}  // namespace sluice::ports
