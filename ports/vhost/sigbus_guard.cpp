#include "ports/vhost/sigbus_guard.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace sluice::ports::vhost {

namespace detail {

struct SigbusSlot {
  std::atomic<std::uint32_t> sequence{0};  ///< odd while the slot is written
  std::atomic<std::uintptr_t> base{0};
  std::atomic<std::size_t> size{0};  ///< 0: free
  std::atomic<int> eventfd{-1};
  std::atomic<bool> lost{false};
};

}  // namespace detail

namespace {

using detail::SigbusSlot;

struct Chunk {
  std::array<SigbusSlot, 256> slots;
  std::atomic<Chunk*> next{nullptr};  ///< never freed: a handler may be on its way through it
};

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<Chunk*>::is_always_lock_free,
              "the handler may not take locks");

Chunk first_chunk;
struct sigaction previous_action;

/// Puts zeroes over the slot's memory if `address` lies in it.
bool replace_if_inside(SigbusSlot& slot, std::uintptr_t address) {
  // acquire on the first, a fence before the second: what is read between belongs to one state of the slot.
  const std::uint32_t sequence = slot.sequence.load(std::memory_order_acquire);
  const std::uintptr_t base = slot.base.load(std::memory_order_relaxed);
  const std::size_t size = slot.size.load(std::memory_order_relaxed);
  const int eventfd = slot.eventfd.load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if ((sequence & 1U) != 0 || slot.sequence.load(std::memory_order_relaxed) != sequence) return false;
  if (address - base >= size) return false;

  void* const pages = ::mmap(reinterpret_cast<void*>(base), size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (pages == MAP_FAILED) return false;
  slot.lost.store(true, std::memory_order_release);
  if (eventfd >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(eventfd, &one, sizeof one);  // full: it is awake anyway
  }
  return true;
}

void on_sigbus(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Chunk* chunk = &first_chunk; chunk != nullptr; chunk = chunk->next.load(std::memory_order_acquire)) {
    for (SigbusSlot& slot : chunk->slots) {
      if (replace_if_inside(slot, address)) {
        errno = saved_errno;
        return;
      }
    }
  }
  errno = saved_errno;
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(number);
  } else {
    ::signal(SIGBUS, SIG_DFL);  // the access is made again, and now ends the program
  }
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous_action);
}

std::mutex slots_mutex;

SigbusSlot& free_slot() {
  for (Chunk* chunk = &first_chunk;; chunk = chunk->next.load(std::memory_order_relaxed)) {
    for (SigbusSlot& slot : chunk->slots) {
      if (slot.size.load(std::memory_order_relaxed) == 0) return slot;
    }
    // release: the handler sees the new slots as free.
    if (chunk->next.load(std::memory_order_relaxed) == nullptr) chunk->next.store(new Chunk, std::memory_order_release);
  }
}

void write(SigbusSlot& slot, std::uintptr_t base, std::size_t size) {
  // The writer's half of the sequence lock: odd, then the words, then even.
  slot.sequence.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  slot.base.store(base, std::memory_order_relaxed);
  slot.size.store(size, std::memory_order_relaxed);
  slot.eventfd.store(-1, std::memory_order_relaxed);
  slot.lost.store(false, std::memory_order_relaxed);
  slot.sequence.fetch_add(1, std::memory_order_release);
}

}  // namespace

SigbusGuard::SigbusGuard(void* base, std::size_t size) {
  static std::once_flag installed;
  std::call_once(installed, install);
  const std::lock_guard lock(slots_mutex);
  slot_ = &free_slot();  // NOLINT(cppcoreguidelines-prefer-member-initializer): under the lock
  write(*slot_, reinterpret_cast<std::uintptr_t>(base), size);
}

SigbusGuard::~SigbusGuard() {
  const std::lock_guard lock(slots_mutex);
  write(*slot_, 0, 0);
}

void SigbusGuard::notify(int eventfd) { slot_->eventfd.store(eventfd, std::memory_order_relaxed); }

bool SigbusGuard::lost() const { return slot_->lost.load(std::memory_order_acquire); }

}  // namespace sluice::ports::vhost
