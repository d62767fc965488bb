// Rings: the virtqueues of one port, from the first message about them to publication and back.
//
// Control thread. A ring is started by SET_VRING_KICK as soon as its size, its addresses and memory are there, and
// stopped by GET_VRING_BASE. While it is started, PMDs see its Vring. A change of a started ring (addresses, call fd,
// enable, memory, log) makes a new Vring, publishes it in the place of the old one and frees the old one after every
// PMD has finished a loop; a message that cannot be honoured changes nothing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/unique_fd.hpp"
#include "ports/vhost/estate.hpp"
#include "ports/vhost/message.hpp"
#include "ports/vhost/node_pages.hpp"
#include "ports/vhost/port_state.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace sluice::ports::vhost {

class Rings {
 public:
  using Result = tl::expected<void, std::string>;
  using Memory = std::shared_ptr<const GuestMemory>;
  using Log = std::shared_ptr<DirtyLog>;

  /// `count` rings, at most kMaxRings; their states are the first of the estate's, and their eventfds are kept there.
  /// `estate` outlives this. `alarm`: an eventfd that a PMD writes when a guest has held it up; -1: none.
  Rings(Estate& estate, unsigned count, int alarm, std::function<void()> wait_for_pmds);
  /// Takes all rings back. What the estate has of them stays as it is: see reset().
  ~Rings();
  Rings(const Rings&) = delete;
  Rings& operator=(const Rings&) = delete;

  // What the messages of the same name ask for. Errors say what is wrong with which ring.
  [[nodiscard]] Result set_num(const VringState& message);
  [[nodiscard]] Result set_addr(const VringAddress& message);
  [[nodiscard]] Result set_base(const VringState& message);
  [[nodiscard]] tl::expected<std::uint32_t, std::string> get_base(const VringState& message);
  [[nodiscard]] Result set_kick(std::uint32_t index, UniqueFd fd);
  [[nodiscard]] Result set_call(std::uint32_t index, UniqueFd fd);
  [[nodiscard]] Result set_err(std::uint32_t index, UniqueFd fd);
  [[nodiscard]] Result set_enable(const VringState& message);
  [[nodiscard]] Result disable_all();

  /// What to do with a started ring that is not in the new memory.
  enum class Uncovered : std::uint8_t {
    refuse,  ///< an error, and nothing changes; unless it waits for memory already
    wait,    ///< PMDs do not see it until its memory is there again
  };
  /// Moves the rings to other memory, another log, other features. When this returns without an error, no PMD uses
  /// the memory or the log of before.
  [[nodiscard]] Result move_to(Memory memory, Log log, std::uint64_t features, Uncovered uncovered);

  /// Takes all rings back, and forgets all about them. When this returns no PMD uses the memory or the log.
  void reset();

  /// Takes up the rings that the estate knows, in two steps. The first makes all that takes time and changes nothing
  /// that anybody sees; a ring whose memory is not there waits for it. An error: they cannot be taken up.
  [[nodiscard]] Result prepare(Memory memory, Log log);
  /// Whether there are as many rings as are in use.
  [[nodiscard]] Result suits() const;
  void let_go_of_prepared();
  /// The second publishes them where they stand by now.
  [[nodiscard]] Result publish_prepared();
  /// Interrupts each of their drivers once: whoever worked the ring before may have died between the used index and the
  /// eventfd. At any time later: a guest may make this wait, once.
  void interrupt_resumed();

  [[nodiscard]] const Memory& memory() const { return memory_; }
  [[nodiscard]] const Log& log() const { return log_; }
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(rings_.size()); }
  [[nodiscard]] const RingState& ring(unsigned index) const { return state_.rings[index]; }
  [[nodiscard]] bool any_started() const;
  /// Whether the front end has held up a PMD, or the control thread (notify.hpp).
  [[nodiscard]] bool held_up_a_pmd() const;
  /// The same, and forgets it. After reset(), so that it can do so no more.
  [[nodiscard]] bool forgive();
  /// Moves what PMDs write of the queues to a NUMA node. At any time.
  void move_queues_to(int node) { queues_.move_to(node); }
  [[nodiscard]] VhostQueue& queue(unsigned index) { return queues_[index]; }
  [[nodiscard]] const VhostQueue& queue(unsigned index) const { return queues_[index]; }

 private:
  struct Ring {
    std::unique_ptr<Vring> vring;  ///< what is published; null: nothing
    std::unique_ptr<Vring> prepared;
    UniqueFd kick;  ///< for a successor; we poll
    UniqueFd call;
    UniqueFd err;
    bool owes_interrupt = false;  ///< it was taken up, and its driver was not interrupted yet
  };
  /// What is to become of a ring: made completely before anything changes.
  struct Plan {
    unsigned index = 0;
    std::unique_ptr<Vring> vring;
    RingPosition position;
    bool starts = false;
  };
  struct Place {
    const GuestMemory* memory;
    DirtyLog* log;
    std::uint64_t features;
  };

  [[nodiscard]] Result check_index(std::uint32_t index) const;
  [[nodiscard]] Place here() const { return {memory_.get(), log_.get(), state_.features}; }
  [[nodiscard]] static bool ready(const RingState& state, const Place& place);
  [[nodiscard]] tl::expected<Plan, std::string> plan(unsigned index, const RingState& state, const Place& place,
                                                     int call_fd, int err_fd);
  void carry_out(Plan plan, std::vector<std::unique_ptr<Vring>>& retired);
  void take_back(unsigned index);
  void take_all_back();
  [[nodiscard]] Result change(unsigned index, const RingState& next);
  [[nodiscard]] Result replace_fd(std::uint32_t index, UniqueFd Ring::*member, Heirloom kind,
                                  std::uint8_t RingState::*has, UniqueFd fd);
  void start_at(unsigned index, const RingPosition& position);
  void appear(unsigned index, Vring& vring);
  void interrupt_driver(unsigned index);

  Estate& estate_;
  PortState& state_;
  std::function<void()> wait_for_pmds_;
  std::vector<Ring> rings_;
  NodePages<VhostQueue> queues_;  ///< as long-lived as the port: a PMD may hold on to them
  Memory memory_;
  Log log_;
};

}  // namespace sluice::ports::vhost
