// Mapping: anonymous memory from the kernel, zero, reserved at once and given page by page as it is touched.
#pragma once

#include <cstddef>

#include <tl/expected.hpp>

namespace sluice::flowtable {

class Mapping {
 public:
  Mapping() = default;
  /// `bytes` at a 2 MiB boundary. The error is errno.
  [[nodiscard]] static tl::expected<Mapping, int> create(std::size_t bytes);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::byte* data() const { return data_; }
  /// Asks for huge pages for [offset, offset + bytes), from the first touch on. A wish: the kernel may have none.
  void prefer_huge_pages(std::size_t offset, std::size_t bytes) const;
  /// Takes up the memory of [offset, offset + bytes), `offset` at a page's boundary, before it is touched. For any
  /// thread, whatever others write there meanwhile. A wish: what the kernel does not give now it gives at the touch.
  void take_up(std::size_t offset, std::size_t bytes) const;

  /// All of it is as it was when it was created: zero, and not taken up.
  void give_back() const;

  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace sluice::flowtable
