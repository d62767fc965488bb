// DirtyLog: the bitmap that tells a migrating front end which guest pages we have written (VHOST_USER_SET_LOG_BASE).
// Mapped and freed by the control thread; PMDs set bits. Guarded against truncation as GuestMemory is.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <tl/expected.hpp>

namespace sluice::ports::vhost {

class Mapping;

class DirtyLog {
 public:
  static constexpr std::uint64_t kPageSize = 4096;  ///< VHOST_LOG_PAGE

  /// Maps `size` bytes of `fd` from `offset` on; checks them against the file. `fd` is taken over in either case.
  [[nodiscard]] static tl::expected<std::shared_ptr<DirtyLog>, std::string> map(int fd, std::uint64_t offset,
                                                                                std::uint64_t size);

  /// Marks the pages of [guest_phys_addr, + size). Pages beyond the log are left out.
  void mark(std::uint64_t guest_phys_addr, std::uint64_t size) {
    if (size == 0) return;
    const std::uint64_t last = (guest_phys_addr + size - 1) / kPageSize;
    for (std::uint64_t page = guest_phys_addr / kPageSize; page <= last && page / 8 < size_; ++page) {
      // release: the page's bytes are written before the bit that makes the front end send them.
      std::atomic_ref<std::uint8_t>(bits_[page / 8])
          .fetch_or(static_cast<std::uint8_t>(1U << (page % 8)), std::memory_order_release);
    }
  }

  /// Whether the page of the last of these bytes is in the log.
  [[nodiscard]] bool covers(std::uint64_t guest_phys_addr, std::uint64_t size) const {
    return size != 0 && guest_phys_addr + (size - 1) >= guest_phys_addr &&
           (guest_phys_addr + (size - 1)) / kPageSize / 8 < size_;
  }
  /// Of its file.
  [[nodiscard]] int fd() const;
  /// True once the log's file was cut off under us.
  [[nodiscard]] bool lost() const;
  /// Writes to this eventfd when that happens; it must outlive every access to the log.
  void notify_when_lost(int eventfd) const;

 private:
  std::uint8_t* bits_ = nullptr;
  std::uint64_t size_ = 0;  ///< bytes
  std::shared_ptr<Mapping> mapping_;
};

}  // namespace sluice::ports::vhost
