// FakeGuest: a guest whose driver costs next to nothing, for measuring what the switch's side of a ring costs. It has
// one Tx and one Rx ring whose descriptors point to the same buffers for ever: to send a frame again is to make its
// descriptor available again. The device gives descriptors back in order, and is called by the same thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "ports/vhost/vhost_queue.hpp"
#include "ports/vhost/vring_maker.hpp"

namespace sluice::perf {

namespace vhost = ports::vhost;

struct RingKind {
  bool packed = false;
  bool in_order = false;  ///< VIRTIO_F_IN_ORDER is negotiated
};

/// One ring with as many buffers, each in one descriptor, and its driver.
class FakeRing {
 public:
  static constexpr std::uint32_t kSize = 256;
  static constexpr std::uint32_t kBuffer = 2048;  ///< bytes; a virtio-net header is in front of the frame
  static constexpr std::uint32_t kHeader = vhost::kNetHeaderSize;

  /// `gpa` and `bytes` are where the guest has this ring's memory: kMemory bytes, zero. `device_writes`: an Rx ring.
  FakeRing(const vhost::GuestMemory& memory, std::uint64_t gpa, std::uint8_t* bytes, RingKind kind, bool device_writes)
      : bytes_(bytes), gpa_(gpa), packed_(kind.packed), write_(device_writes ? vhost::kDescWrite : std::uint16_t{0}) {
    lengths_.fill(kBuffer);
    for (std::uint32_t i = 0; !packed_ && i < kSize; ++i) {
      write_split(i);
      const auto id = static_cast<std::uint16_t>(i);
      std::memcpy(bytes_ + kAvail + 4 + 2UL * i, &id, sizeof id);
    }
    namespace feature = vhost::feature;
    vhost::RingState state{
        .descriptor = gpa, .available = gpa + kAvail, .used = gpa + kUsed, .size = kSize, .enabled = 1};
    auto made = vhost::make_vring(
        state, {.features = feature::kVersion1 | feature::kMrgRxbuf | feature::kIndirectDesc |
                            (packed_ ? feature::kRingPacked : 0) | (kind.in_order ? feature::kInOrder : 0),
                .memory = &memory,
                .progress = &progress_});
    if (!made) std::abort();  // a mistake of ours
    vring_ = *made;
    progress_.position = *vhost::start_position(state, vring_);
    queue.vring.store(&vring_);
  }
  FakeRing(const FakeRing&) = delete;
  FakeRing& operator=(const FakeRing&) = delete;

  /// What slot `i` sends from now on; at most kBuffer - kHeader bytes.
  void set_frame(std::uint32_t i, std::span<const std::uint8_t> frame) {
    std::memcpy(bytes_ + kBuffers + std::size_t{i} * kBuffer + kHeader, frame.data(), frame.size());
    lengths_[i] = static_cast<std::uint32_t>(kHeader + frame.size());
    if (!packed_) write_split(i);
  }

  /// Makes the next `count` descriptors available; the device has given them back.
  void make_available(std::uint32_t count) {
    if (!packed_) {
      next_ += count;
      const auto idx = static_cast<std::uint16_t>(next_);
      std::memcpy(bytes_ + kAvail + 2, &idx, sizeof idx);
      return;
    }
    for (; count != 0; --count, ++next_) {
      const std::uint32_t slot = next_ % kSize;
      const bool wrap = next_ / kSize % 2 == 0;
      const auto flags = static_cast<std::uint16_t>(write_ | (wrap ? vhost::packed::kAvail : vhost::packed::kUsed));
      const vhost::packed::Desc desc{buffer(slot), lengths_[slot], static_cast<std::uint16_t>(slot), flags};
      std::memcpy(bytes_ + sizeof desc * slot, &desc, sizeof desc);
    }
  }

  vhost::VhostQueue queue;

 private:
  static constexpr std::uint64_t kAvail = std::uint64_t{16} * kSize;
  static constexpr std::uint64_t kUsed = kAvail + 4096;
  static constexpr std::uint64_t kBuffers = kUsed + 4096;

 public:
  static constexpr std::uint64_t kMemory = kBuffers + std::uint64_t{kSize} * kBuffer;

 private:
  [[nodiscard]] std::uint64_t buffer(std::uint32_t i) const { return gpa_ + kBuffers + std::uint64_t{i} * kBuffer; }
  void write_split(std::uint32_t i) {
    const vhost::split::Desc desc{buffer(i), lengths_[i], write_, 0};
    std::memcpy(bytes_ + sizeof desc * i, &desc, sizeof desc);
  }

  std::uint8_t* const bytes_;
  const std::uint64_t gpa_;
  const bool packed_;
  const std::uint16_t write_;
  std::uint32_t next_ = 0;  ///< descriptors that were ever made available
  std::array<std::uint32_t, kSize> lengths_{};
  vhost::RingProgress progress_;
  vhost::Vring vring_;
};

/// The memory of a guest with two rings.
class FakeGuestMemory {
 public:
  static constexpr std::uint64_t kBase = 0x1'0000'0000;
  static constexpr std::uint64_t kSize = (2 * FakeRing::kMemory + 0xfff) & ~std::uint64_t{0xfff};

  FakeGuestMemory() {
    const int fd = ::memfd_create("guest", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, kSize) != 0) std::abort();
    bytes = static_cast<std::uint8_t*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    auto made = vhost::GuestMemory().with(
        {.guest_phys_addr = kBase, .size = kSize, .userspace_addr = kBase, .mmap_offset = 0}, fd);
    if (bytes == MAP_FAILED || !made) std::abort();
    memory = *made;
  }
  ~FakeGuestMemory() { ::munmap(bytes, kSize); }
  FakeGuestMemory(const FakeGuestMemory&) = delete;
  FakeGuestMemory& operator=(const FakeGuestMemory&) = delete;

  std::uint8_t* bytes = nullptr;
  vhost::GuestMemory memory;
};

struct FakeGuest {
  explicit FakeGuest(RingKind kind)
      : tx(memory.memory, FakeGuestMemory::kBase, memory.bytes, kind, false),
        rx(memory.memory, FakeGuestMemory::kBase + FakeRing::kMemory, memory.bytes + FakeRing::kMemory, kind, true) {
    rx.make_available(FakeRing::kSize);
  }

  FakeGuestMemory memory;
  FakeRing tx;  ///< the guest's transmit queue: the switch receives from it
  FakeRing rx;
};

}  // namespace sluice::perf
