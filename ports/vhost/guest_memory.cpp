#include "ports/vhost/guest_memory.hpp"

#include <numaif.h>

#include <algorithm>
#include <array>
#include <map>

#include "ports/vhost/hex.hpp"
#include "ports/vhost/mapping.hpp"

namespace sluice::ports::vhost {
namespace {

constexpr std::uint64_t kPage = 4096;

std::string describe(const MemoryRegion& r) {
  return "memory region at guest address " + hex(r.guest_phys_addr) + ", user address " + hex(r.userspace_addr) +
         ", size " + hex(r.size);
}

/// The last byte included, so that a region may end where the address space does.
bool overflows(std::uint64_t address, std::uint64_t size) { return address + (size - 1) < address; }

bool overlap(std::uint64_t a, std::uint64_t a_size, std::uint64_t b, std::uint64_t b_size) {
  return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

}  // namespace

tl::expected<GuestMemory, std::string> GuestMemory::with(const MemoryRegion& region, int fd,
                                                         const GuestMemory* previous) const {
  UniqueFd owned(fd);
  const auto fail = [&](const std::string& what) { return tl::unexpected(describe(region) + ": " + what); };
  if (region.size == 0) return fail("its size is 0");
  if (overflows(region.guest_phys_addr, region.size) || overflows(region.userspace_addr, region.size) ||
      overflows(region.mmap_offset, region.size)) {
    return fail("its end is beyond 2^64");
  }
  if (entries_.size() >= kMaxRegions) return fail("a port has at most " + std::to_string(kMaxRegions) + " regions");
  for (const Entry& e : entries_) {
    if (overlap(e.region.guest_phys_addr, e.region.size, region.guest_phys_addr, region.size) ||
        overlap(e.region.userspace_addr, e.region.size, region.userspace_addr, region.size)) {
      return fail("it overlaps the " + describe(e.region));
    }
  }
  std::shared_ptr<Mapping> mapping = previous != nullptr ? previous->find(region, owned.get()) : nullptr;
  if (mapping == nullptr) {
    auto made = Mapping::map(std::move(owned), region.mmap_offset, region.size);
    if (!made) return fail(made.error());
    mapping = std::move(*made);
  }
  GuestMemory result = *this;
  const auto at = std::upper_bound(result.entries_.begin(), result.entries_.end(), region.guest_phys_addr,
                                   [](std::uint64_t a, const Entry& e) { return a < e.region.guest_phys_addr; });
  std::uint8_t* const host = mapping->data();
  result.entries_.insert(at, Entry{region, host, std::move(mapping)});
  return result;
}

std::shared_ptr<Mapping> GuestMemory::find(const MemoryRegion& region, int fd) const {
  const auto same = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.region == region; });
  if (same == entries_.end() || same->mapping->lost()) return nullptr;
  const auto file = SharedFile::of(fd);
  return file && same->mapping->same_file(*file) ? same->mapping : nullptr;
}

bool GuestMemory::holds(const MemoryRegion& region, int fd) const { return find(region, fd) != nullptr; }

tl::expected<GuestMemory, std::string> GuestMemory::without(const MemoryRegion& region) const {
  GuestMemory result = *this;
  const std::size_t removed = std::erase_if(result.entries_, [&](const Entry& e) {
    return e.region.guest_phys_addr == region.guest_phys_addr && e.region.userspace_addr == region.userspace_addr &&
           e.region.size == region.size;
  });
  if (removed == 0) return tl::unexpected(describe(region) + ": there is no such region");
  return result;
}

Window GuestMemory::region_of(std::uint64_t guest_phys_addr) const {
  const auto behind = std::upper_bound(entries_.begin(), entries_.end(), guest_phys_addr,
                                       [](std::uint64_t a, const Entry& e) { return a < e.region.guest_phys_addr; });
  if (behind == entries_.begin()) return {};
  const Entry& entry = *(behind - 1);
  return {entry.region.guest_phys_addr, entry.region.size, entry.host};
}

std::uint8_t* GuestMemory::translate_user(std::uint64_t userspace_addr, std::uint64_t size) const {
  for (const Entry& e : entries_) {
    const std::uint64_t offset = userspace_addr - e.region.userspace_addr;  // wraps below the region
    if (offset < e.region.size && size <= e.region.size - offset) return e.host + offset;
  }
  return nullptr;
}

std::uint64_t GuestMemory::guest_phys(std::uint64_t userspace_addr, std::uint64_t fallback) const {
  for (const Entry& e : entries_) {
    const std::uint64_t offset = userspace_addr - e.region.userspace_addr;
    if (offset < e.region.size) return e.region.guest_phys_addr + offset;
  }
  return fallback;
}

void GuestMemory::touch() const {
  for (const Entry& e : entries_) e.mapping->touch();
}

bool GuestMemory::lost() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.mapping->lost(); });
}

void GuestMemory::notify_when_lost(int eventfd) const {
  for (const Entry& e : entries_) e.mapping->notify_when_lost(eventfd);
}

int GuestMemory::numa_node() const {
  // Asks where 64 pages of each region are; a page that was never touched has no node and is not made by asking.
  constexpr std::size_t kSamples = 64;
  std::map<int, std::uint64_t> bytes_of_node;
  for (const Entry& e : entries_) {
    std::array<void*, kSamples> pages;
    std::array<int, kSamples> nodes;
    nodes.fill(-1);
    const std::uint64_t step = e.region.size / kSamples;
    for (std::size_t i = 0; i < kSamples; ++i) {
      const auto address = reinterpret_cast<std::uintptr_t>(e.host) + i * step;
      pages[i] = reinterpret_cast<void*>(address / kPage * kPage);
    }
    if (::move_pages(0, kSamples, pages.data(), nullptr, nodes.data(), 0) != 0) continue;
    for (const int node : nodes) {
      if (node >= 0) bytes_of_node[node] += std::max(step, std::uint64_t{1});
    }
  }
  const auto most = std::max_element(bytes_of_node.begin(), bytes_of_node.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes_of_node.end() ? -1 : most->first;
}

}  // namespace sluice::ports::vhost
