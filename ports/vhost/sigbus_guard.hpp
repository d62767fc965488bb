// The SIGBUS guard: memory that a peer shares with us and cuts off costs that peer its connection, not the switch.
//
// The file behind a mapping is the peer's, who may truncate it at any time; touching what is gone raises SIGBUS in
// whatever thread touches it. The handler looks the address up, puts anonymous zero pages in the place of the whole
// mapping so that the access goes on, marks it as lost and wakes its owner. An address that is not guarded goes to the
// handler that was there before, or ends the program as it would have.
//
// Guards are made and destroyed on control threads; the handler runs on any thread, at any instruction, and takes no
// lock: it reads a list of slots that only grows, each with a sequence number that is odd while the slot is written.
#pragma once

#include <cstddef>

namespace sluice::ports::vhost {

namespace detail {
struct SigbusSlot;
}

/// Guards [base, base + size) for as long as it lives. To be destroyed before the memory is unmapped.
class SigbusGuard {
 public:
  SigbusGuard(void* base, std::size_t size);
  ~SigbusGuard();
  SigbusGuard(const SigbusGuard&) = delete;
  SigbusGuard& operator=(const SigbusGuard&) = delete;

  /// Writes 1 to this eventfd (non-blocking) when the memory is lost. The fd must outlive every access to the memory.
  void notify(int eventfd);
  /// True once the memory was cut off and replaced by zeroes.
  [[nodiscard]] bool lost() const;

 private:
  detail::SigbusSlot* slot_;
};

}  // namespace sluice::ports::vhost
