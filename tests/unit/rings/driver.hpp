// A virtio driver in miniature: guest memory, and the driver's side of split and packed virtqueues. It can do
// what real drivers do, and write anything at all where a hostile one would.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "ports/vhost/guest_memory.hpp"
#include "ports/vhost/notify.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::test {

using namespace sluice::ports::vhost;

// As a PMD whose loop ends with each verb.
inline void release(VhostQueue& queue, ports::Burst& burst) {
  Notifier notifier;
  ports::vhost::release(queue, burst, notifier);
  notifier.notify();
}
inline void transmit(VhostQueue& queue, std::span<ports::Frame* const> frames, ports::PortCounters& counters) {
  Notifier notifier;
  ports::vhost::transmit(queue, frames, counters, notifier);
  notifier.notify();
}

/// A guest's memory: two regions with a hole between them, handed out from the first.
class Guest {
 public:
  static constexpr std::uint64_t kBase = 0x4000'0000;
  static constexpr std::uint64_t kSize = 32U << 20U;
  static constexpr std::uint64_t kSecondBase = kBase + kSize;  ///< adjacent in guest-physical space
  static constexpr std::uint64_t kSecondSize = 1U << 20U;

  Guest() {
    fd_ = ::memfd_create("guest", MFD_CLOEXEC);
    if (::ftruncate(fd_, kSize + kSecondSize) != 0) throw std::runtime_error("ftruncate");
    bytes_ =
        static_cast<std::uint8_t*>(::mmap(nullptr, kSize + kSecondSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    auto one = GuestMemory().with(MemoryRegion{kBase, kSize, 0x7000'0000'0000, 0}, ::dup(fd_));
    auto two = one.value().with(MemoryRegion{kSecondBase, kSecondSize, 0x7100'0000'0000, kSize}, ::dup(fd_));
    memory = two.value();
  }
  ~Guest() {
    ::munmap(bytes_, kSize + kSecondSize);
    ::close(fd_);
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  /// Guest-physical address of fresh, zeroed bytes.
  std::uint64_t allocate(std::uint64_t size, std::uint64_t align = 64) {
    next_ = (next_ + align - 1) / align * align;
    const std::uint64_t at = next_;
    next_ += size;
    if (next_ > kBase + kSize) throw std::runtime_error("guest memory used up");
    return at;
  }
  std::uint8_t* at(std::uint64_t gpa) { return bytes_ + (gpa - kBase); }
  /// Where the switch sees it.
  template <typename T>
  T* host(std::uint64_t gpa) {
    Window hint;
    return reinterpret_cast<T*>(memory.translate(gpa, 1, hint));
  }

  GuestMemory memory;

 private:
  int fd_;
  std::uint8_t* bytes_;
  std::uint64_t next_ = kBase;
};

/// A word that the switch, which may run on another thread, writes or reads as well.
inline std::atomic_ref<std::uint16_t> shared16(std::uint8_t* at) {
  return std::atomic_ref(*reinterpret_cast<std::uint16_t*>(at));
}

/// One descriptor as a driver would write it.
struct Buf {
  std::uint64_t gpa;
  std::uint32_t len;
  bool write = false;
};

struct UsedBuf {
  std::uint16_t id;
  std::uint32_t len;
};

class SplitDriver {
 public:
  SplitDriver(Guest& guest, std::uint32_t size) : guest_(guest), size_(size) {
    desc_ = guest.allocate(split::desc_bytes(size), 16);
    avail_ = guest.allocate(split::avail_bytes(size), 2);
    used_ = guest.allocate(split::used_bytes(size), 4);
    for (std::uint32_t i = 0; i < size; ++i) free_.push_back(static_cast<std::uint16_t>(i));
    vring.size = size;
    vring.memory = &guest.memory;
    vring.progress = &progress;
    vring.enabled = true;
    vring.indirect = true;
    vring.desc = guest.host<split::Desc>(desc_);
    vring.avail = guest.host<split::RingHeader>(avail_);
    vring.used = guest.host<split::RingHeader>(used_);
    queue.vring.store(&vring);
  }

  /// Makes a chain available; its id, or nothing if there are not enough descriptors.
  std::optional<std::uint16_t> add(const std::vector<Buf>& bufs, bool indirect = false) {
    if (free_.size() < (indirect ? 1 : bufs.size())) return std::nullopt;
    std::vector<std::uint16_t> ids;
    if (indirect) {
      const std::uint64_t table = guest_.allocate(bufs.size() * 16, 16);
      for (std::size_t i = 0; i < bufs.size(); ++i) {
        const bool last = i + 1 == bufs.size();
        write_desc(table + i * 16, bufs[i].gpa, bufs[i].len, flags(bufs[i], !last), static_cast<std::uint16_t>(i + 1));
      }
      ids.push_back(take_free());
      write_desc(desc_ + ids[0] * 16ULL, table, static_cast<std::uint32_t>(bufs.size() * 16), kDescIndirect, 0);
    } else {
      for (std::size_t i = 0; i < bufs.size(); ++i) ids.push_back(take_free());
      for (std::size_t i = 0; i < bufs.size(); ++i) {
        const bool last = i + 1 == bufs.size();
        write_desc(desc_ + ids[i] * 16ULL, bufs[i].gpa, bufs[i].len, flags(bufs[i], !last), last ? 0 : ids[i + 1]);
      }
    }
    chains_[ids[0]] = ids;
    order_.push_back(ids[0]);
    push_avail(ids[0]);
    return ids[0];
  }

  std::optional<UsedBuf> used() {
    // acquire: the element was written before the index.
    if (shared16(guest_.at(used_ + 2)).load(std::memory_order_acquire) == last_used_) return std::nullopt;
    split::UsedElem elem{};
    std::memcpy(&elem, guest_.at(used_ + 4 + (last_used_ % size_) * 8ULL), 8);
    ++last_used_;
    const auto id = static_cast<std::uint16_t>(elem.id);
    for (const std::uint16_t d : chains_[id]) free_.push_back(d);
    return UsedBuf{id, elem.len};
  }
  /// As a driver that has negotiated IN_ORDER: a used element stands for all chains up to its own. How many they are.
  unsigned used_in_order() {
    // acquire: the element was written before the index.
    const std::uint16_t idx = shared16(guest_.at(used_ + 2)).load(std::memory_order_acquire);
    if (idx == last_used_) return 0;
    split::UsedElem elem{};
    std::memcpy(&elem, guest_.at(used_ + 4 + (last_used_ % size_) * 8ULL), 8);
    unsigned chains = 0;
    for (bool last = false; !last; ++chains) {
      const std::uint16_t id = order_.at(0);
      order_.pop_front();
      for (const std::uint16_t d : chains_[id]) free_.push_back(d);
      last = id == elem.id;
    }
    last_used_ = static_cast<std::uint16_t>(last_used_ + chains);
    if (static_cast<std::uint16_t>(idx - last_used_) > size_)
      throw std::runtime_error("more is used than the index says");
    return chains;
  }

  // What a hostile driver does.
  void write_desc(std::uint64_t gpa, std::uint64_t addr, std::uint32_t len, std::uint16_t flags, std::uint16_t next) {
    const split::Desc d{addr, len, flags, next};
    std::memcpy(guest_.at(gpa), &d, sizeof d);
  }
  [[nodiscard]] std::uint64_t desc_gpa(std::uint16_t id) const { return desc_ + id * 16ULL; }
  void push_avail(std::uint16_t id) {
    std::memcpy(guest_.at(avail_ + 4 + (avail_idx_ % size_) * 2ULL), &id, 2);
    set_avail_idx(static_cast<std::uint16_t>(avail_idx_ + 1));
  }
  void set_avail_idx(std::uint16_t idx) {
    avail_idx_ = idx;
    // release: descriptors and ring entry are written before they are seen.
    shared16(guest_.at(avail_ + 2)).store(idx, std::memory_order_release);
  }
  [[nodiscard]] std::uint16_t avail_idx() const { return avail_idx_; }
  void set_used_event(std::uint16_t event) { std::memcpy(guest_.at(avail_ + 4 + size_ * 2ULL), &event, 2); }
  void set_avail_flags(std::uint16_t flags) { std::memcpy(guest_.at(avail_), &flags, 2); }

  Vring vring;
  VhostQueue queue;
  RingProgress progress;

 private:
  static std::uint16_t flags(const Buf& buf, bool next) {
    return static_cast<std::uint16_t>((buf.write ? kDescWrite : 0) | (next ? kDescNext : 0));
  }
  std::uint16_t take_free() {
    const std::uint16_t id = free_.front();
    free_.pop_front();
    return id;
  }

  Guest& guest_;
  std::uint32_t size_;
  std::uint64_t desc_, avail_, used_;
  std::uint16_t avail_idx_ = 0;
  std::uint16_t last_used_ = 0;
  std::deque<std::uint16_t> free_;
  std::deque<std::uint16_t> order_;  ///< ids, as they were made available
  std::map<std::uint16_t, std::vector<std::uint16_t>> chains_;
};

class PackedDriver {
 public:
  PackedDriver(Guest& guest, std::uint32_t size) : guest_(guest), size_(size), free_(size) {
    ring_ = guest.allocate(packed::ring_bytes(size), 16);
    driver_event_ = guest.allocate(4, 4);
    device_event_ = guest.allocate(4, 4);
    vring.size = size;
    vring.packed = true;
    vring.memory = &guest.memory;
    vring.progress = &progress;
    vring.enabled = true;
    vring.indirect = true;
    vring.packed_desc = guest.host<packed::Desc>(ring_);
    vring.driver_event = guest.host<packed::EventSuppress>(driver_event_);
    vring.device_event = guest.host<packed::EventSuppress>(device_event_);
    queue.vring.store(&vring);
  }

  std::optional<std::uint16_t> add(const std::vector<Buf>& bufs, bool indirect = false) {
    const std::size_t slots = indirect ? 1 : bufs.size();
    if (free_ < slots) return std::nullopt;
    const auto id = static_cast<std::uint16_t>(next_id_++ & 0x7fffU);
    std::uint64_t table = 0;
    if (indirect) {
      table = guest_.allocate(bufs.size() * 16, 16);
      for (std::size_t i = 0; i < bufs.size(); ++i) {
        const packed::Desc d{bufs[i].gpa, bufs[i].len, 0, static_cast<std::uint16_t>(bufs[i].write ? kDescWrite : 0)};
        std::memcpy(guest_.at(table + i * 16), &d, sizeof d);
      }
    }
    const std::uint32_t head = next_;
    std::uint16_t head_flags = 0;
    for (std::size_t i = 0; i < slots; ++i) {
      const bool last = i + 1 == slots;
      std::uint16_t flags = wrap_ ? packed::kAvail : packed::kUsed;
      packed::Desc d{};
      if (indirect) {
        d = packed::Desc{table, static_cast<std::uint32_t>(bufs.size() * 16), id, 0};
        flags = static_cast<std::uint16_t>(flags | kDescIndirect);
      } else {
        d = packed::Desc{bufs[i].gpa, bufs[i].len, id, 0};
        flags = static_cast<std::uint16_t>(flags | (bufs[i].write ? kDescWrite : 0) | (last ? 0 : kDescNext));
      }
      std::uint8_t* at = guest_.at(slot_gpa(next_));
      if (i == 0) {
        std::memcpy(at, &d, 14);
        head_flags = flags;
      } else {
        d.flags = flags;
        std::memcpy(at, &d, sizeof d);
      }
      advance(next_, wrap_, 1);
    }
    // release: the whole chain is written before its head is seen.
    shared16(guest_.at(slot_gpa(head) + 14)).store(head_flags, std::memory_order_release);
    slots_[id] = slots;
    order_.push_back(id);
    free_ -= slots;
    return id;
  }

  std::optional<UsedBuf> used() {
    const auto found = shown();
    if (found) take_back(found->id);
    return found;
  }
  /// As a driver that has negotiated IN_ORDER: a used descriptor stands for all chains up to its own. How many they
  /// are.
  unsigned used_in_order() {
    const auto found = shown();
    if (!found) return 0;
    unsigned chains = 0;
    for (bool last = false; !last; ++chains) {
      const std::uint16_t id = order_.at(0);
      order_.pop_front();
      take_back(id);
      last = id == found->id;
    }
    return chains;
  }

  [[nodiscard]] std::uint64_t slot_gpa(std::uint32_t slot) const { return ring_ + slot * 16ULL; }
  [[nodiscard]] std::uint32_t next_slot() const { return next_; }
  [[nodiscard]] bool wrap() const { return wrap_; }
  void set_driver_event(std::uint16_t off_wrap, std::uint16_t flags) {
    const packed::EventSuppress e{off_wrap, flags};
    std::memcpy(guest_.at(driver_event_), &e, sizeof e);
  }

  Vring vring;
  VhostQueue queue;
  RingProgress progress;

 private:
  /// What the slot says that is used next; nothing if it is not used.
  [[nodiscard]] std::optional<UsedBuf> shown() const {
    packed::Desc d{};
    // acquire: length and id were written before the flags.
    const std::uint16_t flags = shared16(guest_.at(slot_gpa(used_) + 14)).load(std::memory_order_acquire);
    std::memcpy(&d, guest_.at(slot_gpa(used_)), sizeof d);
    const bool avail_bit = (flags & packed::kAvail) != 0;
    const bool used_bit = (flags & packed::kUsed) != 0;
    if (avail_bit != used_bit || used_bit != used_wrap_) return std::nullopt;
    return UsedBuf{d.id, d.len};
  }
  void take_back(std::uint16_t id) {
    advance(used_, used_wrap_, slots_.at(id));
    free_ += slots_.at(id);
  }
  void advance(std::uint32_t& at, bool& wrap, std::size_t n) const {
    at += static_cast<std::uint32_t>(n);
    if (at >= size_) {
      at -= size_;
      wrap = !wrap;
    }
  }

  Guest& guest_;
  std::uint32_t size_;
  std::uint64_t ring_, driver_event_, device_event_;
  std::uint32_t next_ = 0;
  bool wrap_ = true;
  std::uint32_t used_ = 0;
  bool used_wrap_ = true;
  unsigned next_id_ = 0;
  std::size_t free_;
  std::deque<std::uint16_t> order_;  ///< ids, as they were made available
  std::map<std::uint16_t, std::size_t> slots_;
};

}  // namespace sluice::test
