// KeeperLink: the worker's end of the keeper: the shared state, the descriptors that outlive a worker, and commands.
//
// Control thread, but for what of the shared state belongs to others. What the keeper has kept of a worker before is
// here from the start (of a worker that stands by: is followed until it is told to go).
//
// A port, of whatever type, has a slot (port_slots.hpp): its number is the port's id in the FDB and among the counters,
// the same for the worker that comes after. A vhost-user port has its Estate in there as well.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "control/error.hpp"
#include "control/keeper/keepsakes.hpp"
#include "control/keeper/message.hpp"
#include "control/keeper/port_slots.hpp"
#include "control/keeper/shared_memory.hpp"
#include "control/keeper/shared_state.hpp"
#include "ports/unique_fd.hpp"
#include "ports/vhost/estate.hpp"

namespace sluice::control {

class KeeperLink {
 public:
  /// At the keeper's socket and memory, as a worker is started with.
  KeeperLink(ports::UniqueFd socket, SharedMemory shared, unsigned heartbeat, bool has_to_go_on = false);
  /// Without a keeper: the state is this process's own, and nothing outlives it.
  [[nodiscard]] static Expected<std::unique_ptr<KeeperLink>> alone();
  ~KeeperLink();
  KeeperLink(const KeeperLink&) = delete;
  KeeperLink& operator=(const KeeperLink&) = delete;

  [[nodiscard]] SharedState& shared() const { return *shared_; }
  [[nodiscard]] Heartbeat& heartbeat() const { return shared_->heartbeats[heartbeat_]; }

  /// How many workers have gone before this one.
  [[nodiscard]] std::uint64_t restarts() const { return restarts_; }
  /// Another worker has had the ports, and there is nothing to fall back to if this one does not take them up: whatever
  /// is wrong with one of them is no reason to leave the others alone.
  [[nodiscard]] bool has_to_go_on() const { return has_to_go_on_; }
  /// This worker is the one that works from now on.
  void take_over() { restarts_ = shared_->takeovers.fetch_add(1, std::memory_order_relaxed); }
  /// Another worker has the ports, as far as can be seen from here.
  [[nodiscard]] bool another_works() const;
  /// Nobody has taken over after us.
  [[nodiscard]] bool works() const { return shared_->takeovers.load(std::memory_order_relaxed) == restarts_ + 1; }

  [[nodiscard]] PortSlots& slots() { return slots_; }
  /// The estate of the port that has the slot; lives as long as the link, or until the slot is given up.
  [[nodiscard]] ports::vhost::Estate& estate(unsigned slot);
  /// The port is gone for good: what the keeper has kept of it is closed, and the slot nobody's, though not yet free.
  void retire(unsigned slot);
  /// The same, and nothing of it is in use any more: the slot is free.
  void give_up(unsigned slot);

  struct Command {
    Saying saying;  ///< one that the keeper commands
    std::string text;
    std::uint32_t index = 0;
    ports::UniqueFd file{};
  };
  /// Learns what the keeper has said so far; commands wait for receive() and wait().
  void catch_up();
  /// The socket to watch for readability; -1: there is no keeper.
  [[nodiscard]] int fd() const { return socket_.get(); }
  /// Takes what the keeper has said, up to and with the next command; nothing if none has come yet. What it says of
  /// kept descriptors is taken care of in here.
  [[nodiscard]] tl::expected<Command, Nothing> receive() { return next(false); }
  /// Waits until nothing is left of workers that have died, no hugepages and no devices; false if a command comes
  /// first. What it finds is true until go.
  bool wait_until_alone();
  /// Whether the keeper says something within so long.
  [[nodiscard]] bool heard_within(std::chrono::milliseconds patience) const;
  /// Waits for the next command; Nothing::ever: the keeper is gone.
  [[nodiscard]] tl::expected<Command, Nothing> wait() { return next(true); }
  void report(Saying saying, std::string_view text = {}, std::uint32_t index = 0) {
    send(Message{.saying = saying, .index = index}, text);
  }
  void report_file(Saying saying, std::uint32_t index, const ports::UniqueFd& file) {
    send(Message{.saying = saying, .index = index}, {}, file.get());
  }

  /// Of the switch, not of a port. Like those of an Estate.
  void keep(Kept kind, int fd) { keep_at(kNoSlot, kind, 0, fd); }
  [[nodiscard]] ports::UniqueFd take(Kept kind) const { return take_at(kNoSlot, kind, 0); }

  /// Closes what came from the keeper: whoever wanted it has it.
  void let_go_of_inherited() { inherited_.clear(); }

 private:
  class SlotEstate;

  void send(const Message& message, std::string_view text = {}, int fd = -1);
  void keep_at(std::uint32_t slot, Kept kind, unsigned index, int fd);
  void forget_at(std::uint32_t slot, Kept kind, unsigned index);
  [[nodiscard]] ports::UniqueFd take_at(std::uint32_t slot, Kept kind, unsigned index) const;
  [[nodiscard]] tl::expected<Command, Nothing> next(bool wait);
  [[nodiscard]] tl::expected<void, Nothing> hear(bool wait);

  ports::UniqueFd socket_;
  SharedMemory shared_;
  unsigned heartbeat_;
  const bool has_to_go_on_;
  Keepsakes inherited_;           ///< what the keeper has, as of the last message
  std::deque<Command> commands_;  ///< that have come, and nobody has asked for yet
  std::map<unsigned, std::unique_ptr<SlotEstate>> estates_;
  PortSlots slots_;
  std::uint64_t restarts_ = 0;
  bool alone_ = false;
};

}  // namespace sluice::control
