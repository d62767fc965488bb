#include "ports/vhost/node_pages.hpp"

#include <numaif.h>
#include <sys/mman.h>

#include <array>
#include <climits>

namespace sluice::ports::vhost {
namespace {

constexpr std::size_t kMaxNodes = 1024;  // the kernel's own limit (NODES_SHIFT)
constexpr std::size_t kBitsAWord = sizeof(unsigned long) * CHAR_BIT;

}  // namespace

void* map_pages(std::size_t bytes) {
  void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}

void unmap_pages(void* pages, std::size_t bytes) { ::munmap(pages, bytes); }

void move_pages_to_node(void* pages, std::size_t bytes, int node) {
  const auto n = static_cast<std::size_t>(node);
  if (node < 0 || n >= kMaxNodes) return;
  std::array<unsigned long, kMaxNodes / kBitsAWord> nodes{};
  nodes[n / kBitsAWord] = 1UL << (n % kBitsAWord);
  // One more than there are bits: the kernel leaves the last one out.
  ::mbind(pages, bytes, MPOL_PREFERRED, nodes.data(), kMaxNodes + 1, MPOL_MF_MOVE);
}

}  // namespace sluice::ports::vhost
