#include "control/keeper/keeper_link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/keeper/shared_memory.hpp"

namespace sluice::control {

using ports::UniqueFd;
using ports::vhost::Heirloom;

namespace {

/// Of whoever had it before: another number of PMDs, work that takes long.
void reset(Heartbeat& heartbeat) {
  // relaxed: each is a number for itself, and nobody looks at them before we say that we run.
  const auto clear = [](auto& word) { word.store(0, std::memory_order_relaxed); };
  for (Heartbeat::Pmd& pmd : heartbeat.pmds) {
    clear(pmd.thread);
    pmd.loop.reset();
  }
  clear(heartbeat.control);
  clear(heartbeat.control_thread);
  clear(heartbeat.standby);
  clear(heartbeat.hang_timeout_ms);
  clear(heartbeat.idle_sleep_ms);
  clear(heartbeat.long_work);
}

}  // namespace

class KeeperLink::SlotEstate final : public ports::vhost::Estate {
 public:
  SlotEstate(KeeperLink& link, unsigned slot) : link_(link), slot_(slot) {}

  [[nodiscard]] ports::vhost::PortState& state() override { return link_.shared().vhost[slot_].state; }
  void keep(Heirloom kind, unsigned index, int fd) override { link_.keep_at(slot_, kept(kind), index, fd); }
  void forget(Heirloom kind, unsigned index) override { link_.forget_at(slot_, kept(kind), index); }
  [[nodiscard]] UniqueFd take(Heirloom kind, unsigned index) override {
    return link_.take_at(slot_, kept(kind), index);
  }

 private:
  static Kept kept(Heirloom kind) { return static_cast<Kept>(kind); }
  static_assert(static_cast<int>(Heirloom::listener) == static_cast<int>(Kept::listener));
  static_assert(static_cast<int>(Heirloom::err) == static_cast<int>(Kept::err));

  KeeperLink& link_;
  const unsigned slot_;
};

Expected<std::unique_ptr<KeeperLink>> KeeperLink::alone() {
  const auto memory = SharedMemory::create();
  if (!memory) return tl::unexpected(memory.error());
  auto shared = SharedMemory::map(memory->get());
  if (!shared) return tl::unexpected(shared.error());
  return std::make_unique<KeeperLink>(UniqueFd(), std::move(*shared), 0);
}

KeeperLink::KeeperLink(UniqueFd socket, SharedMemory shared, unsigned heartbeat, bool has_to_go_on)
    : socket_(std::move(socket)),
      shared_(std::move(shared)),
      heartbeat_(heartbeat),
      has_to_go_on_(has_to_go_on),
      slots_(shared_) {
  reset(this->heartbeat());
}

KeeperLink::~KeeperLink() = default;

bool KeeperLink::another_works() const {
  const auto other = shared_->heartbeats[1 - heartbeat_].control_thread.load(std::memory_order_relaxed);
  if (other == 0) return false;  // of all workers before us, none had that heartbeat
  pollfd ended{static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(other), 0)), POLLIN, 0};
  const UniqueFd process(ended.fd);
  return process && ::poll(&ended, 1, 0) == 0;
}

ports::vhost::Estate& KeeperLink::estate(unsigned slot) {
  auto& estate = estates_[slot];
  if (!estate) estate = std::make_unique<SlotEstate>(*this, slot);
  return *estate;
}

void KeeperLink::retire(unsigned slot) {
  slots_.retire(slot);
  inherited_.forget_slot(slot);
  send(Message{.saying = Saying::forget_slot, .slot = slot});
  estates_.erase(slot);
}

void KeeperLink::give_up(unsigned slot) {
  retire(slot);
  slots_.release(slot);
}

void KeeperLink::catch_up() {
  if (!socket_) return;
  while (hear(false)) continue;
}

void KeeperLink::send(const Message& message, std::string_view text, int fd) {
  if (!socket_) return;
  // The keeper does nothing that takes long. If it is gone there is nobody to tell: next() says so.
  while (send_message(socket_.get(), message, text, fd, true) == SendResult::full) ::usleep(1000);
}

void KeeperLink::keep_at(std::uint32_t slot, Kept kind, unsigned index, int fd) {
  send(Message{.saying = Saying::keep, .kind = kind, .slot = slot, .index = index}, {}, fd);
}

void KeeperLink::forget_at(std::uint32_t slot, Kept kind, unsigned index) {
  static_cast<void>(inherited_.take({slot, kind, index}));  // and close it
  send(Message{.saying = Saying::forget, .kind = kind, .slot = slot, .index = index});
}

UniqueFd KeeperLink::take_at(std::uint32_t slot, Kept kind, unsigned index) const {
  const int fd = inherited_.find({slot, kind, index});
  return UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

tl::expected<KeeperLink::Command, Nothing> KeeperLink::next(bool wait) {
  while (commands_.empty()) {
    if (const auto heard = hear(wait); !heard) return tl::unexpected(heard.error());
  }
  Command first = std::move(commands_.front());
  commands_.pop_front();
  return first;
}

bool KeeperLink::heard_within(std::chrono::milliseconds patience) const {
  pollfd socket{socket_.get(), POLLIN, 0};
  return !commands_.empty() || ::poll(&socket, 1, static_cast<int>(patience.count())) != 0;
}

bool KeeperLink::wait_until_alone() {
  if (!socket_) return true;
  if (!alone_) report(Saying::wants_alone);
  while (!alone_ && commands_.empty()) {
    if (!hear(true)) return false;
  }
  return alone_;
}

/// Takes one message of the keeper's.
tl::expected<void, Nothing> KeeperLink::hear(bool wait) {
  auto received = receive_message(socket_.get(), wait);
  if (!received) return tl::unexpected(received.error());
  if (inherited_.apply(*received)) return {};
  alone_ = received->message.saying == Saying::alone || (alone_ && received->message.saying != Saying::go);
  if (received->message.saying != Saying::alone) {
    commands_.push_back(
        {received->message.saying, std::move(received->text), received->message.index, std::move(received->fd)});
  }
  return {};
}

}  // namespace sluice::control
