#include "control/keeper/shared_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace sluice::control {

using ports::UniqueFd;

Expected<UniqueFd> SharedMemory::create() {
  const auto failed = [](const char* what) {
    return tl::unexpected(
        Error{fmt::format("the memory that outlives a worker ({} bytes, most of it never used): {}: {}",
                          sizeof(SharedState), what, std::strerror(errno))});
  };
  UniqueFd fd(::memfd_create("sluice-state", MFD_CLOEXEC));
  if (!fd) return failed("memfd_create");
  if (::ftruncate(fd.get(), sizeof(SharedState)) != 0) return failed("ftruncate");
  struct Head {
    std::uint64_t magic = SharedState::kMagic;
    std::uint32_t layout = SharedState::kLayout;
    std::uint32_t reserved = 0;
    std::uint64_t bytes = sizeof(SharedState);
  } const head;
  static_assert(offsetof(SharedState, layout) == offsetof(Head, layout) &&
                offsetof(SharedState, bytes) == offsetof(Head, bytes));
  if (::pwrite(fd.get(), &head, sizeof head, 0) != sizeof head) return failed("pwrite");
  return fd;
}

Expected<SharedMemory> SharedMemory::map(int fd) {
  UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  struct {
    std::uint64_t magic;
    std::uint32_t layout, reserved;
    std::uint64_t bytes;
  } head{};
  struct stat file {};
  if (!own || ::pread(fd, &head, sizeof head, 0) != sizeof head || ::fstat(fd, &file) != 0 ||
      head.magic != SharedState::kMagic) {
    return tl::unexpected(Error{"descriptor " + std::to_string(fd) + " is not the memory that outlives a worker"});
  }
  if (head.layout != SharedState::kLayout || head.bytes != sizeof(SharedState) ||
      static_cast<std::uint64_t>(file.st_size) != head.bytes) {
    return tl::unexpected(Error{fmt::format(
        "the state that the running switch keeps is of version {} ({} bytes), this program's is version {} ({} bytes): "
        "it cannot take over from it; stop the switch, then start this one",
        head.layout, head.bytes, SharedState::kLayout, sizeof(SharedState))});
  }
  void* const at = ::mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    return tl::unexpected(
        Error{fmt::format("the memory that outlives a worker cannot be mapped: {}", std::strerror(errno))});
  }
  ::madvise(at, sizeof(SharedState), MADV_DONTDUMP);  // a core dump would fill all of it with pages first
  return SharedMemory(static_cast<SharedState*>(at), std::move(own));
}

SharedMemory::~SharedMemory() {
  if (state_ != nullptr) ::munmap(state_, sizeof(SharedState));
}

void SharedMemory::clear_slot(unsigned slot) {
  VhostSlot& vhost = state_->vhost[slot];
  const auto at = reinterpret_cast<char*>(&vhost) - reinterpret_cast<char*>(state_);
  constexpr int kHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd_.get(), kHole, at, sizeof vhost) != 0) std::memset(static_cast<void*>(&vhost), 0, sizeof vhost);
  state_->tallies.forget(static_cast<flowtable::PortId>(slot));
  PortLabel& label = state_->labels[slot];
  label.node = 0;
  label.name.fill(0);
  // release: after all that is cleared.
  label.in_use.store(PortLabel::kFree, std::memory_order_release);
}

}  // namespace sluice::control
