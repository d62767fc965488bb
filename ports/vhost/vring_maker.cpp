#include "ports/vhost/vring_maker.hpp"

#include <bit>

#include "ports/vhost/hex.hpp"
#include "ports/vhost/used_journal.hpp"

namespace sluice::ports::vhost {
namespace {

/// One of a ring's three areas, found in guest memory; the error is left in `error`.
template <typename T>
T* area(const GuestMemory& memory, const char* name, std::uint64_t user_address, std::uint64_t bytes,
        std::uint64_t alignment, std::string& error) {
  if (!error.empty()) return nullptr;
  if (user_address % alignment != 0) {
    error = std::string(name) + " address " + hex(user_address) + " is not a multiple of " + std::to_string(alignment);
    return nullptr;
  }
  std::uint8_t* const host = memory.translate_user(user_address, bytes);
  if (host == nullptr) {
    error = std::string(name) + " at user address " + hex(user_address) + ", " + std::to_string(bytes) +
            " bytes, is not inside one memory region";
  } else if (reinterpret_cast<std::uintptr_t>(host) % alignment != 0) {
    error = std::string(name) + " at user address " + hex(user_address) + ": its region is mapped from an offset" +
            " that is not a multiple of " + std::to_string(alignment);
  }
  return reinterpret_cast<T*>(host);
}

bool has(std::uint64_t features, std::uint64_t bit) { return (features & bit) != 0; }

void set_features(Vring& vring, std::uint64_t features) {
  vring.packed = has(features, feature::kRingPacked);
  vring.event_idx = has(features, feature::kEventIdx);
  vring.indirect = has(features, feature::kIndirectDesc);
  vring.in_order = has(features, feature::kInOrder);
  vring.mergeable = has(features, feature::kMrgRxbuf);
  // Section 5.1.6: num_buffers is there in VERSION_1, whatever else was negotiated.
  vring.net_header_size =
      has(features, feature::kMrgRxbuf | feature::kVersion1) ? kNetHeaderSize : kLegacyNetHeaderSize;
  vring.rx_csum = has(features, feature::kGuestCsum);
  vring.rx_tso4 = vring.rx_csum && has(features, feature::kGuestTso4);
  vring.rx_tso6 = vring.rx_csum && has(features, feature::kGuestTso6);
  vring.tx_csum = has(features, feature::kCsum);
  vring.tx_tso4 = vring.tx_csum && has(features, feature::kHostTso4);
  vring.tx_tso6 = vring.tx_csum && has(features, feature::kHostTso6);
}

RingPosition decode_packed(std::uint32_t base) {
  const auto part = [](std::uint32_t half) { return static_cast<std::uint16_t>(half & 0x7fffU); };
  RingPosition p;
  // The upper half is the used position. Front ends that know of the lower half only leave it 0, which with a used
  // wrap counter of 0 says something else than "as the lower half" only if chains were in flight.
  const std::uint32_t used = (base >> 16U) == 0 ? base & 0xffffU : base >> 16U;
  p.next_used = part(used);
  p.used_wrap = static_cast<std::uint8_t>((used >> 15U) & 1U);
  // What a back-end before us took and did not give back is taken again.
  p.next_avail = p.next_used;
  p.avail_wrap = p.used_wrap;
  return p;
}

}  // namespace

std::string check_ring_size(std::uint32_t size, std::uint64_t features) {
  if (size == 0 || size > kMaxRingSize) {
    return "a ring has 1 to " + std::to_string(kMaxRingSize) + " entries, not " + std::to_string(size);
  }
  if (!has(features, feature::kRingPacked) && !std::has_single_bit(size)) {
    return "the size of a split ring is a power of two, which " + std::to_string(size) + " is not";
  }
  return {};
}

tl::expected<Vring, std::string> make_vring(const RingState& state, const VringSurroundings& around) {
  if (std::string wrong = check_ring_size(state.size, around.features); !wrong.empty()) return tl::unexpected(wrong);
  Vring vring;
  vring.memory = around.memory;
  vring.progress = around.progress;
  vring.size = state.size;
  vring.enabled = state.enabled != 0;
  vring.call_fd = around.call_fd;
  vring.err_fd = around.err_fd;
  set_features(vring, around.features);

  // Alignments: sections 2.7 (split) and 2.8 (packed).
  const GuestMemory& memory = *around.memory;
  std::string error;
  std::uint64_t logged_bytes = 0;
  if (vring.packed) {
    logged_bytes = packed::ring_bytes(state.size);
    vring.packed_desc = area<packed::Desc>(memory, "descriptor ring", state.descriptor, logged_bytes, 16, error);
    vring.driver_event = area<packed::EventSuppress>(memory, "driver area", state.available, 4, 4, error);
    vring.device_event = area<packed::EventSuppress>(memory, "device area", state.used, 4, 4, error);
  } else {
    logged_bytes = split::used_bytes(state.size);
    vring.desc =
        area<split::Desc>(memory, "descriptor table", state.descriptor, split::desc_bytes(state.size), 16, error);
    vring.avail =
        area<split::RingHeader>(memory, "available ring", state.available, split::avail_bytes(state.size), 2, error);
    vring.used = area<split::RingHeader>(memory, "used ring", state.used, logged_bytes, 4, error);
  }
  if (!error.empty()) return tl::unexpected(error);

  if (has(around.features, feature::kLogAll)) vring.log = around.log;
  if (vring.log != nullptr && state.log != 0) {
    vring.log_used = true;
    // For packed rings the front end's log address is that of the device area; what we write most is the ring itself.
    vring.log_wish_addr = state.log_addr;
    vring.log_used_addr = vring.packed ? memory.guest_phys(state.descriptor, state.log_addr) : state.log_addr;
    if (!vring.log->covers(vring.log_used_addr, logged_bytes) ||
        !vring.log->covers(vring.log_wish_addr, sizeof(packed::EventSuppress))) {
      return tl::unexpected("its used ring's log address " + hex(vring.log_used_addr) +
                            " is beyond the end of the log");
    }
  }
  return vring;
}

tl::expected<RingPosition, std::string> start_position(const RingState& state, const Vring& vring) {
  const std::uint32_t base = state.base_set != 0 ? state.base : fresh_vring_base(vring.packed);
  if (vring.packed) {
    const RingPosition p = decode_packed(base);
    if (p.next_used >= state.size) {
      return tl::unexpected("base " + hex(base) + " is slot " + std::to_string(p.next_used) + " of a ring of " +
                            std::to_string(state.size));
    }
    return p;
  }
  if (base > 0xffffU) return tl::unexpected("base " + hex(base) + " of a split ring is more than 16 bits");
  // relaxed: the used index is the device's own, from before; the available one is looked at again before it is used.
  const std::uint16_t used = __atomic_load_n(&vring.used->idx, __ATOMIC_RELAXED);
  const std::uint16_t available = __atomic_load_n(&vring.avail->idx, __ATOMIC_RELAXED);
  RingPosition p;
  p.next_avail = static_cast<std::uint16_t>(base);
  p.next_used = used;
  // A front end whose back end was killed cannot know where that one was. QEMU asks the ring's memory; DPDK's
  // virtio-user says 0. What has been used is in memory: everything available behind it is taken, some of it again.
  const bool within = static_cast<std::uint16_t>(p.next_avail - used) <= state.size &&
                      static_cast<std::uint16_t>(available - p.next_avail) <= state.size;
  if (!within) p.next_avail = used;
  return p;
}

// A worker takes chains in order, gives them back in order and completely, and says so once a burst: the used index
// first (of a packed ring: what its journal says), then its own position. Whoever dies before that has given nothing
// back: the burst is taken again, of which some frames may have reached their receivers already, and what was half
// written into buffers is written anew; so at most one burst comes twice, and nothing is lost. Whoever dies after it
// has given the burst back, and what is left to be done is to move the position by as many chains.
//
// What it wrote is marked in the dirty log after the store. Buffers are, before their chains are given back: those that
// are not will be written anew. The used index is when the successor says that it wants no kicks (suppress_kicks()),
// which it does beside the index, and a packed ring's slots are by finish_showing().
//
// Chains whose head does not exist are taken and not given back: the two indices of a split ring differ by their
// number, which was counted into the position with the burst that met them. Only a driver that wrote such heads may see
// chains of that one burst given back twice.
tl::expected<void, std::string> resume_ring(const Vring& vring) {
  RingPosition& p = vring.progress->position;
  if (vring.packed) {
    if (finish_showing(vring, *vring.progress)) return {};
    return tl::unexpected("its position, slot " + std::to_string(p.next_used) +
                          ", and its journal cannot be those of a " + "ring of " + std::to_string(vring.size));
  }
  // relaxed: who wrote it is no more.
  const std::uint16_t used = __atomic_load_n(&vring.used->idx, __ATOMIC_RELAXED);
  const auto published = static_cast<std::uint16_t>(used - p.next_used);
  // More than the ring holds: the driver has written where only the device may. The ring's memory is believed.
  const auto next = published <= vring.size ? static_cast<std::uint16_t>(p.next_avail + published) : used;
  commit(p, RingPosition{next, used, 1, 1, 0});
  return {};
}

std::uint32_t vring_base(const RingPosition& p, bool packed) {
  if (!packed) return p.next_avail;
  return std::uint32_t{p.next_avail} | std::uint32_t{p.avail_wrap} << 15U | std::uint32_t{p.next_used} << 16U |
         std::uint32_t{p.used_wrap} << 31U;
}

std::uint32_t fresh_vring_base(bool packed) { return packed ? 0x80008000U : 0; }

}  // namespace sluice::ports::vhost
