// Anonymous memory: mmap, munmap, madvise.
#include "flowtable/mapping.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace sluice::flowtable {

tl::expected<Mapping, int> Mapping::create(std::size_t bytes) {
  // Mapped with a huge page to spare, then trimmed to the boundary: mmap aligns to small pages only.
  const std::size_t padded = bytes + kHugePage;
  void* raw = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return tl::unexpected(errno);
  auto* begin = static_cast<std::byte*>(raw);
  const std::size_t lead = (kHugePage - reinterpret_cast<std::uintptr_t>(raw) % kHugePage) % kHugePage;
  if (lead != 0) munmap(begin, lead);
  constexpr std::size_t kPage = 4096;
  const std::size_t length = (bytes + kPage - 1) / kPage * kPage;
  if (const std::size_t tail = padded - lead - length; tail != 0) munmap(begin + lead + length, tail);
  Mapping mapping;
  mapping.data_ = begin + lead;
  mapping.bytes_ = length;
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

void Mapping::prefer_huge_pages(std::size_t offset, std::size_t bytes) const {
  // A refusal leaves small pages, which are slower and nothing else.
  (void)madvise(data_ + offset, bytes, MADV_HUGEPAGE);
}

void Mapping::take_up(std::size_t offset, std::size_t bytes) const {
  (void)madvise(data_ + offset, bytes, MADV_POPULATE_WRITE);  // Linux 5.14 and later
}

void Mapping::give_back() const { (void)madvise(data_, bytes_, MADV_DONTNEED); }

}  // namespace sluice::flowtable
