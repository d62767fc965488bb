// Mapping: one mmap of a file that a front end has handed to us, guarded against being cut off.
//
// Made and freed by the control thread. Keeps the file descriptor too: a successor process needs it, and it tells
// whether a later message speaks of the same file.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "ports/unique_fd.hpp"
#include "ports/vhost/sigbus_guard.hpp"

namespace sluice::ports::vhost {

/// What a file is, as far as mapping it goes.
struct SharedFile {
  dev_t device = 0;
  ino_t inode = 0;
  std::uint64_t size = 0;
  std::uint64_t block = 0;  ///< what offset and length of a mapping must be multiples of: 4 KiB, or a huge page

  /// Checks that `fd` is memory: a regular file of a file system that lives in memory or on a local disk. A page
  /// fault on a file that another process serves (FUSE, a network) could hold up a PMD for ever.
  [[nodiscard]] static tl::expected<SharedFile, std::string> of(int fd);
};

class Mapping {
 public:
  /// Maps [offset, offset + size) of the file, which must be that long.
  [[nodiscard]] static tl::expected<std::shared_ptr<Mapping>, std::string> map(UniqueFd fd, std::uint64_t offset,
                                                                               std::uint64_t size);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// Where the byte at `offset` of the file is.
  [[nodiscard]] std::uint8_t* data() const { return base_ + skipped_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool same_file(const SharedFile& file) const {
    return file_.device == file.device && file_.inode == file.inode;
  }
  /// Has what the guest has used of it in our page tables, so that no PMD has to stop for a page later. Takes 50 to
  /// 80 ms for a GiB; makes no page that is not there.
  void touch() const;
  [[nodiscard]] bool lost() const { return guard_->lost(); }
  void notify_when_lost(int eventfd) { guard_->notify(eventfd); }

 private:
  Mapping(UniqueFd fd, const SharedFile& file, std::uint64_t begin, std::uint8_t* base, std::size_t mapped,
          std::size_t skipped)
      : fd_(std::move(fd)), file_(file), begin_(begin), base_(base), mapped_(mapped), skipped_(skipped) {
    guard_.emplace(base, mapped);
  }

  UniqueFd fd_;
  SharedFile file_;
  std::uint64_t begin_;  ///< of what is mapped, in the file
  std::uint8_t* base_;
  std::size_t mapped_;
  std::size_t skipped_;  ///< from the block's start to the byte that was asked for
  std::optional<SigbusGuard> guard_;
};

}  // namespace sluice::ports::vhost
