// NodePages: objects in pages of their own, which can be moved to another NUMA node while they are in use: their
// addresses stay. For what PMDs write of a port, which belongs where the guest's memory is.
//
// Control thread, but for the objects themselves.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace sluice::ports::vhost {

/// `bytes` of zeroed memory in whole pages. Throws std::bad_alloc.
[[nodiscard]] void* map_pages(std::size_t bytes);
void unmap_pages(void* pages, std::size_t bytes);
/// Has these pages on a NUMA node, if there is room: those that are there already are moved. Failing costs speed only.
void move_pages_to_node(void* pages, std::size_t bytes, int node);

/// `count` objects of T.
template <typename T>
class NodePages {
 public:
  explicit NodePages(std::size_t count) : count_(count), objects_(static_cast<T*>(map_pages(bytes()))) {
    static_assert(alignof(T) <= 4096);
    std::uninitialized_value_construct_n(objects_, count_);
  }
  ~NodePages() {
    std::destroy_n(objects_, count_);
    unmap_pages(objects_, bytes());
  }
  NodePages(const NodePages&) = delete;
  NodePages& operator=(const NodePages&) = delete;

  [[nodiscard]] T& operator[](std::size_t i) { return objects_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return objects_[i]; }
  [[nodiscard]] const T* begin() const { return objects_; }
  [[nodiscard]] const T* end() const { return objects_ + count_; }

  void move_to(int node) { move_pages_to_node(objects_, bytes(), node); }

 private:
  [[nodiscard]] std::size_t bytes() const { return count_ * sizeof(T); }

  std::size_t count_;
  T* objects_;
};

}  // namespace sluice::ports::vhost
