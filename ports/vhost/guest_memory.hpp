// GuestMemory: the regions of one guest's memory that the front end has shared with us, mapped.
//
// Made and freed by the control thread; immutable while PMDs see it. A change of the memory table makes a new
// GuestMemory that shares the mappings which stay, is published, and the old one is freed after every PMD has
// finished a loop.
//
// The files behind the mappings belong to the peer, who may cut them off at any time: the access then raises SIGBUS.
// sigbus_guard.hpp puts zero pages in the place of a mapping that was cut and marks it, which costs that port its
// connection and nobody else anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace sluice::ports::vhost {

/// A region as the front end describes it (VHOST_USER_SET_MEM_TABLE, VHOST_USER_ADD_MEM_REG). Addresses and sizes
/// in bytes.
struct MemoryRegion {
  std::uint64_t guest_phys_addr;
  std::uint64_t size;
  std::uint64_t userspace_addr;  ///< in the front end's address space: ring addresses are given in it
  std::uint64_t mmap_offset;     ///< of the region in its file

  friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};

/// A stretch of guest-physical addresses that is in one place of our address space; void as soon as its memory is.
struct Window {
  std::uint64_t guest_phys_addr = 0;
  std::uint64_t size = 0;  ///< bytes; 0: nothing lies in it
  std::uint8_t* host = nullptr;

  /// Where `bytes` bytes from `address` on are; null unless all of them lie inside.
  [[nodiscard]] std::uint8_t* translate(std::uint64_t address, std::uint64_t bytes) const {
    const std::uint64_t offset = address - guest_phys_addr;  // wraps below the window: then it is large
    return offset < size && bytes <= size - offset ? host + offset : nullptr;
  }
};

/// One mmap of one region's file. Unmaps and closes when the last GuestMemory that holds it is gone.
class Mapping;

class GuestMemory {
 public:
  struct Entry {
    MemoryRegion region;
    std::uint8_t* host;  ///< where guest_phys_addr is in our address space
    std::shared_ptr<Mapping> mapping;
  };

  /// The most regions a port may have; what GET_MAX_MEM_SLOTS answers.
  static constexpr std::size_t kMaxRegions = 509;

  GuestMemory() = default;

  /// A copy with one region more. Checks everything first: size not 0, no overflow, no overlap with another region
  /// in guest-physical or user addresses, and the file long enough and regular memory. The error says which region
  /// and what is wrong. `fd` is taken over in either case. If `previous` has the same region of the same file, its
  /// mapping is used again.
  [[nodiscard]] tl::expected<GuestMemory, std::string> with(const MemoryRegion& region, int fd,
                                                            const GuestMemory* previous = nullptr) const;
  /// A copy without the region of the same guest_phys_addr, userspace_addr and size; an error if there is none.
  [[nodiscard]] tl::expected<GuestMemory, std::string> without(const MemoryRegion& region) const;
  /// Whether `fd`, which stays the caller's, and `region` are what one of the regions already is.
  [[nodiscard]] bool holds(const MemoryRegion& region, int fd) const;

  /// Where `size` bytes from a guest-physical address on are in our address space; null unless they lie inside one
  /// region. `hint` is where the last translation hit, of this memory: most guests keep their packets in one region.
  [[nodiscard]] std::uint8_t* translate(std::uint64_t guest_phys_addr, std::uint64_t size, Window& hint) const {
    if (std::uint8_t* const p = hint.translate(guest_phys_addr, size)) return p;
    const Window found = region_of(guest_phys_addr);
    std::uint8_t* const p = found.translate(guest_phys_addr, size);
    if (p != nullptr) hint = found;
    return p;
  }
  /// What translate() does, for a user address of the front end.
  [[nodiscard]] std::uint8_t* translate_user(std::uint64_t userspace_addr, std::uint64_t size) const;
  /// The guest-physical address of a user address; for the dirty log. `fallback` if it is in no region.
  [[nodiscard]] std::uint64_t guest_phys(std::uint64_t userspace_addr, std::uint64_t fallback) const;

  [[nodiscard]] std::span<const Entry> entries() const { return entries_; }
  /// Has all of it that the guest has used in our page tables.
  void touch() const;
  /// True once a mapping was cut off under us.
  [[nodiscard]] bool lost() const;
  /// Writes to this eventfd when that happens; it must outlive every access to the memory.
  void notify_when_lost(int eventfd) const;
  /// The NUMA node that most of the memory is on; -1 if it cannot be told.
  [[nodiscard]] int numa_node() const;

 private:
  /// The region that an address is in; an empty window if it is in none.
  [[nodiscard]] Window region_of(std::uint64_t guest_phys_addr) const;
  [[nodiscard]] std::shared_ptr<Mapping> find(const MemoryRegion& region, int fd) const;

  std::vector<Entry> entries_;  ///< sorted by guest_phys_addr
};

}  // namespace sluice::ports::vhost
