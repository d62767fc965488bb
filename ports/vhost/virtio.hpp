// The layouts and numbers of virtio 1.2 (OASIS) that a vhost-user net backend needs: feature bits, the virtio-net
// header, split and packed virtqueues. All little-endian; Sluice runs on x86-64 only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice::ports::vhost {

static_assert(std::endian::native == std::endian::little);

/// Feature bits: sections 5.1.3 and 6; the vhost ones are from QEMU's vhost-user document.
namespace feature {
inline constexpr std::uint64_t bit(unsigned n) { return std::uint64_t{1} << n; }
inline constexpr std::uint64_t kCsum = bit(0);       ///< the device takes frames with partial checksum
inline constexpr std::uint64_t kGuestCsum = bit(1);  ///< the driver does
inline constexpr std::uint64_t kMtu = bit(3);
inline constexpr std::uint64_t kMac = bit(5);
inline constexpr std::uint64_t kGso = bit(6);
inline constexpr std::uint64_t kGuestTso4 = bit(7);
inline constexpr std::uint64_t kGuestTso6 = bit(8);
inline constexpr std::uint64_t kHostTso4 = bit(11);
inline constexpr std::uint64_t kHostTso6 = bit(12);
inline constexpr std::uint64_t kMrgRxbuf = bit(15);
inline constexpr std::uint64_t kStatus = bit(16);
inline constexpr std::uint64_t kCtrlVq = bit(17);
inline constexpr std::uint64_t kCtrlRx = bit(18);
inline constexpr std::uint64_t kGuestAnnounce = bit(21);
inline constexpr std::uint64_t kMq = bit(22);
inline constexpr std::uint64_t kNotifyOnEmpty = bit(24);
inline constexpr std::uint64_t kLogAll = bit(26);  ///< VHOST_F_LOG_ALL
inline constexpr std::uint64_t kAnyLayout = bit(27);
inline constexpr std::uint64_t kIndirectDesc = bit(28);
inline constexpr std::uint64_t kEventIdx = bit(29);
inline constexpr std::uint64_t kProtocolFeatures = bit(30);  ///< VHOST_USER_F_PROTOCOL_FEATURES
inline constexpr std::uint64_t kVersion1 = bit(32);
inline constexpr std::uint64_t kIommuPlatform = bit(33);
inline constexpr std::uint64_t kRingPacked = bit(34);
inline constexpr std::uint64_t kInOrder = bit(35);
}  // namespace feature

/// struct virtio_net_hdr, section 5.1.6. Legacy drivers without MRG_RXBUF leave num_buffers out (10 bytes).
struct NetHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;
  std::uint16_t gso_size;
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
  std::uint16_t num_buffers;
};
static_assert(sizeof(NetHeader) == 12);
inline constexpr std::uint32_t kNetHeaderSize = 12;
inline constexpr std::uint32_t kLegacyNetHeaderSize = 10;

inline constexpr std::uint32_t kMaxRingSize = 32768;  ///< section 2.7
inline constexpr std::uint16_t kDescNext = 1;         ///< VIRTQ_DESC_F_NEXT
inline constexpr std::uint16_t kDescWrite = 2;        ///< VIRTQ_DESC_F_WRITE
inline constexpr std::uint16_t kDescIndirect = 4;     ///< VIRTQ_DESC_F_INDIRECT

/// Section 2.7, split virtqueues.
namespace split {
struct Desc {
  std::uint64_t addr;
  std::uint32_t len;
  std::uint16_t flags;
  std::uint16_t next;
};
static_assert(sizeof(Desc) == 16);

struct UsedElem {
  std::uint32_t id;
  std::uint32_t len;
};
static_assert(sizeof(UsedElem) == 8);

/// flags and idx, then `size` ring entries (uint16_t or UsedElem), then used_event / avail_event.
struct RingHeader {
  std::uint16_t flags;
  std::uint16_t idx;
};
inline constexpr std::uint16_t kAvailNoInterrupt = 1;
inline constexpr std::uint16_t kUsedNoNotify = 1;

inline constexpr std::uint64_t desc_bytes(std::uint32_t size) { return std::uint64_t{16} * size; }
/// With the event word at the end, which is there (if unused) without EVENT_IDX too in every driver's layout.
inline constexpr std::uint64_t avail_bytes(std::uint32_t size) { return 4 + std::uint64_t{2} * size + 2; }
inline constexpr std::uint64_t used_bytes(std::uint32_t size) { return 4 + std::uint64_t{8} * size + 2; }
}  // namespace split

/// Section 2.8, packed virtqueues.
namespace packed {
struct Desc {
  std::uint64_t addr;
  std::uint32_t len;
  std::uint16_t id;
  std::uint16_t flags;
};
static_assert(sizeof(Desc) == 16);
inline constexpr std::uint16_t kAvail = 1U << 7U;
inline constexpr std::uint16_t kUsed = 1U << 15U;

/// Section 2.8.14: who wants to be told of what.
struct EventSuppress {
  std::uint16_t off_wrap;
  std::uint16_t flags;
};
inline constexpr std::uint16_t kEventEnable = 0;
inline constexpr std::uint16_t kEventDisable = 1;
inline constexpr std::uint16_t kEventDesc = 2;

inline constexpr std::uint64_t ring_bytes(std::uint32_t size) { return std::uint64_t{16} * size; }
}  // namespace packed

}  // namespace sluice::ports::vhost
