#include "ports/vhost/mapping.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace sluice::ports::vhost {
namespace {

constexpr std::uint64_t kPage = 4096;

bool local_file_system(long type) {
  switch (type) {
    case TMPFS_MAGIC:  // memfd and /dev/shm
    case HUGETLBFS_MAGIC:
    case RAMFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC: return true;
    default: return false;
  }
}

std::string error_text() { return std::strerror(errno); }

}  // namespace

tl::expected<SharedFile, std::string> SharedFile::of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return tl::unexpected("the fd cannot be examined: " + error_text());
  if (!S_ISREG(info.st_mode)) {
    return tl::unexpected<std::string>("the fd is not memory (a memfd or a file of hugetlbfs or tmpfs is needed)");
  }
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) return tl::unexpected("the fd's file system cannot be examined: " + error_text());
  if (!local_file_system(system.f_type)) {
    return tl::unexpected<std::string>("the fd is a file of a file system that is neither memory nor a local disk");
  }
  SharedFile file;
  file.device = info.st_dev;
  file.inode = info.st_ino;
  file.size = static_cast<std::uint64_t>(info.st_size);
  const auto block = static_cast<std::uint64_t>(info.st_blksize);
  file.block = std::has_single_bit(block) && block >= kPage ? block : kPage;
  return file;
}

tl::expected<std::shared_ptr<Mapping>, std::string> Mapping::map(UniqueFd fd, std::uint64_t offset,
                                                                 std::uint64_t size) {
  const auto file = SharedFile::of(fd.get());
  if (!file) return tl::unexpected(file.error());
  if (size == 0) return tl::unexpected<std::string>("its size is 0");
  if (offset > file->size || size > file->size - offset) {
    return tl::unexpected("offset " + std::to_string(offset) + " + size " + std::to_string(size) +
                          " is beyond the end of its file of " + std::to_string(file->size) + " bytes");
  }
  const std::uint64_t skipped = offset % file->block;
  const std::uint64_t mapped = (skipped + size + file->block - 1) / file->block * file->block;
  void* const base = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(),
                            static_cast<off_t>(offset - skipped));
  if (base == MAP_FAILED) return tl::unexpected("it cannot be mapped: " + error_text());
  ::madvise(base, mapped, MADV_DONTDUMP);  // a core dump of the switch is to hold no guest's memory
  return std::shared_ptr<Mapping>(
      new Mapping(std::move(fd), *file, offset - skipped, static_cast<std::uint8_t*>(base), mapped, skipped));
}

void Mapping::touch() const {
  struct statfs system {};
  // Only where holes can be told from pages. Huge pages are few, and soon met.
  if (::fstatfs(fd_.get(), &system) != 0 || system.f_type != TMPFS_MAGIC) return;
  // A descriptor of our own: the file position of the one that was shared is the front end's as well.
  const UniqueFd own(::open(("/proc/self/fd/" + std::to_string(fd_.get())).c_str(), O_RDWR | O_CLOEXEC));
  const auto end = static_cast<off_t>(begin_ + mapped_);
  for (auto at = static_cast<off_t>(begin_); own && at < end;) {
    const off_t data = ::lseek(own.get(), at, SEEK_DATA);
    if (data < 0 || data >= end) return;
    const off_t hole = ::lseek(own.get(), data, SEEK_HOLE);
    if (hole < 0) return;
    at = std::min(hole, end);
    // Fails where the file has been cut off, and on kernels before 5.14: what is not touched now is later.
    ::madvise(base_ + (data - static_cast<off_t>(begin_)), static_cast<std::size_t>(at - data), MADV_POPULATE_WRITE);
  }
}

Mapping::~Mapping() {
  guard_.reset();  // first: these addresses may be somebody else's as soon as they are unmapped
  ::munmap(base_, mapped_);
}

}  // namespace sluice::ports::vhost
