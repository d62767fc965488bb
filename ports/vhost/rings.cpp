#include "ports/vhost/rings.hpp"

#include <algorithm>
#include <utility>

#include "ports/vhost/eventfd.hpp"
#include "ports/vhost/vring_maker.hpp"

namespace sluice::ports::vhost {
namespace {

tl::unexpected<std::string> ring_error(std::uint32_t index, const std::string& what) {
  return tl::unexpected("ring " + std::to_string(index) + ": " + what);
}

tl::unexpected<std::string> is_running(std::uint32_t index) {
  return ring_error(index, "it is running; GET_VRING_BASE has to stop it first");
}

bool is_packed(std::uint64_t features) { return (features & feature::kRingPacked) != 0; }

}  // namespace

Rings::Rings(Estate& estate, unsigned count, int alarm, std::function<void()> wait_for_pmds)
    : estate_(estate), state_(estate.state()), wait_for_pmds_(std::move(wait_for_pmds)), rings_(count), queues_(count) {
  for (unsigned i = 0; i < count; ++i) queues_[i].alarm = alarm;
}

Rings::~Rings() { take_all_back(); }

Rings::Result Rings::check_index(std::uint32_t index) const {
  if (index < rings_.size()) return {};
  return ring_error(index, "there is no such ring, the port has rings 0 to " + std::to_string(rings_.size() - 1));
}

bool Rings::held_up_a_pmd() const {
  // acquire: pairs with the PMD's store before it raised the alarm.
  return std::any_of(queues_.begin(), queues_.end(),
                     [](const VhostQueue& q) { return q.held_up.load(std::memory_order_acquire); });
}

bool Rings::forgive() {
  bool held_up = false;
  // acquire: as above.
  for (unsigned i = 0; i < count(); ++i) held_up |= queues_[i].held_up.exchange(false, std::memory_order_acquire);
  return held_up;
}

bool Rings::any_started() const {
  return std::any_of(state_.rings.begin(), state_.rings.end(), [](const RingState& r) { return r.started != 0; });
}

// ---- making and publishing ----

bool Rings::ready(const RingState& state, const Place& place) {
  return state.kicked != 0 && state.size != 0 && state.addresses_set != 0 && place.memory != nullptr &&
         !place.memory->entries().empty();
}

tl::expected<Rings::Plan, std::string> Rings::plan(unsigned index, const RingState& state, const Place& place,
                                                   int call_fd, int err_fd) {
  auto vring = make_vring(state, {place.features, place.memory, place.log, &state_.progress[index], call_fd, err_fd});
  if (!vring) return ring_error(index, vring.error());
  Plan plan{index, std::make_unique<Vring>(*vring), {}, state.started == 0};
  if (plan.starts) {
    const auto start = start_position(state, *vring);
    if (!start) return ring_error(index, start.error());
    plan.position = *start;
  }
  return plan;
}

void Rings::carry_out(Plan plan, std::vector<std::unique_ptr<Vring>>& retired) {
  Ring& ring = rings_[plan.index];
  VhostQueue& queue = queues_[plan.index];
  RingPosition& position = state_.progress[plan.index].position;
  const bool appears = plan.vring != nullptr && ring.vring == nullptr;
  if (plan.starts && plan.vring != nullptr) {
    start_at(plan.index, plan.position);
    queue.broken = false;
  } else if (appears) {
    // A process before us may have brought the ring's memory back and died before that was true for us: whatever its
    // PMDs had begun then is finished, as for every ring that is taken up. Where nobody did, this changes nothing.
    queue.broken = queue.broken || !resume_ring(*plan.vring);
  }
  if (appears) appear(plan.index, *plan.vring);
  Vring* const published = plan.vring.get();
  // release: a PMD that sees the ring sees what is in it.
  queue.vring.store(published, std::memory_order_release);
  if (ring.vring != nullptr) retired.push_back(std::move(ring.vring));
  ring.vring = std::move(plan.vring);
  // Whoever worked the ring before may have lost an interrupt between the used index and the eventfd.
  if (appears && plan.starts && vring_base(position, published->packed) != fresh_vring_base(published->packed)) {
    interrupt_driver(plan.index);
  }
}

/// Of a ring that is published. A front end that has held us up once is not given the chance again: its connection is
/// about to be closed.
void Rings::interrupt_driver(unsigned index) {
  if (!held_up_a_pmd()) kick(queues_[index], *rings_[index].vring);
}

void Rings::start_at(unsigned index, const RingPosition& position) {
  RingProgress& progress = state_.progress[index];
  progress.position = position;
  progress.journal.count = 0;
  commit(state_.rings[index].started, std::uint8_t{1});
}

/// For a loop at least no PMD has seen a ring here: the queue's own words are ours to set.
void Rings::appear(unsigned index, Vring& vring) {
  VhostQueue& queue = queues_[index];
  queue.taken = state_.progress[index].position;
  queue.receiving = nullptr;
  suppress_kicks(vring);
}

Rings::Result Rings::change(unsigned index, const RingState& next) {
  Ring& ring = rings_[index];
  const bool waits_for_memory = next.started != 0 && ring.vring == nullptr;
  if (!ready(next, here())) {
    store_ring(state_, index, next);
    return {};
  }
  auto planned = plan(index, next, here(), ring.call.get(), ring.err.get());
  if (!planned && !waits_for_memory) return tl::unexpected(planned.error());
  store_ring(state_, index, next);
  if (!planned) return {};
  std::vector<std::unique_ptr<Vring>> retired;
  carry_out(std::move(*planned), retired);
  if (!retired.empty()) wait_for_pmds_();
  return {};
}

Rings::Result Rings::move_to(Memory memory, Log log, std::uint64_t features, Uncovered uncovered) {
  const Place place{memory.get(), log.get(), features};
  std::vector<Plan> plans;
  for (unsigned i = 0; i < rings_.size(); ++i) {
    const RingState& state = state_.rings[i];
    if (state.kicked == 0 || (state.started == 0 && !ready(state, place))) continue;
    auto planned = ready(state, place) ? plan(i, state, place, rings_[i].call.get(), rings_[i].err.get())
                                       : ring_error(i, "its memory was taken away");
    if (planned) {
      plans.push_back(std::move(*planned));
    } else if (uncovered == Uncovered::refuse && (state.started == 0 || rings_[i].vring != nullptr)) {
      return tl::unexpected(planned.error());
    } else {
      plans.push_back(Plan{i, nullptr, {}, false});
    }
  }
  commit(state_.features, features);
  std::vector<std::unique_ptr<Vring>> retired;
  for (Plan& plan : plans) carry_out(std::move(plan), retired);
  std::swap(memory_, memory);
  std::swap(log_, log);
  if (!retired.empty()) wait_for_pmds_();
  return {};  // and now the memory and the log of before are freed, if nobody else holds them
}

void Rings::take_back(unsigned index) {
  // release, as every store to it; there is nothing to order.
  queues_[index].vring.store(nullptr, std::memory_order_release);
}

void Rings::take_all_back() {
  bool published = false;
  for (unsigned i = 0; i < rings_.size(); ++i) {
    published |= rings_[i].vring != nullptr;
    take_back(i);
  }
  if (published) wait_for_pmds_();
}

void Rings::reset() {
  take_all_back();
  for (unsigned i = 0; i < rings_.size(); ++i) {
    for (const auto& [kind, fd] :
         {std::pair(Heirloom::kick, &rings_[i].kick), std::pair(Heirloom::call, &rings_[i].call),
          std::pair(Heirloom::err, &rings_[i].err)}) {
      if (*fd) estate_.forget(kind, i);
    }
    rings_[i] = Ring{};
  }
  memory_.reset();
  log_.reset();
}

// ---- taking up what a process before us has left ----

Rings::Result Rings::suits() const {
  for (unsigned i = static_cast<unsigned>(rings_.size()); i < kMaxRings; ++i) {
    if (state_.rings[i].kicked != 0) {
      return ring_error(i, "it runs, but the port has " + std::to_string(rings_.size()) + " rings now");
    }
  }
  return {};
}

Rings::Result Rings::prepare(Memory memory, Log log) {
  memory_ = std::move(memory);
  log_ = std::move(log);
  for (unsigned i = 0; i < rings_.size(); ++i) {
    const RingState& state = state_.rings[i];
    Ring& ring = rings_[i] = Ring{};
    for (const auto& [kind, fd] : {std::pair(Heirloom::kick, &ring.kick), std::pair(Heirloom::call, &ring.call),
                                   std::pair(Heirloom::err, &ring.err)}) {
      *fd = estate_.take(kind, i);
      if (!*fd) continue;
      if (auto taken = take_eventfd(fd->get()); !taken) return ring_error(i, taken.error());
    }
    // A driver would wait for good for what it is no more told.
    if (state.has_call != 0 && !ring.call) return ring_error(i, "its call eventfd was not kept");
    if (state.has_err != 0 && !ring.err) return ring_error(i, "its error eventfd was not kept");
    if (!ready(state, here())) continue;
    auto planned = plan(i, state, here(), ring.call.get(), ring.err.get());
    if (planned) ring.prepared = std::move(planned->vring);  // else its memory is away: so it was
  }
  return {};
}

void Rings::let_go_of_prepared() {
  for (Ring& ring : rings_) ring = Ring{};
  memory_.reset();
  log_.reset();
}

Rings::Result Rings::publish_prepared() {
  for (unsigned i = 0; i < rings_.size(); ++i) {
    Ring& ring = rings_[i];
    if (ring.prepared == nullptr) continue;
    const RingState& state = state_.rings[i];
    if (state.started != 0) {
      if (auto resumed = resume_ring(*ring.prepared); !resumed) return ring_error(i, resumed.error());
    } else {  // the front end's last word had all but started it
      const auto start = start_position(state, *ring.prepared);
      if (!start) return ring_error(i, start.error());
      start_at(i, *start);
    }
    appear(i, *ring.prepared);
  }
  for (unsigned i = 0; i < rings_.size(); ++i) {
    Ring& ring = rings_[i];
    if (ring.prepared == nullptr) continue;
    ring.vring = std::move(ring.prepared);
    // release: a PMD that sees the ring sees what is in it.
    queues_[i].vring.store(ring.vring.get(), std::memory_order_release);
    ring.owes_interrupt = true;
  }
  return {};
}

void Rings::interrupt_resumed() {
  for (unsigned i = 0; i < rings_.size(); ++i) {
    if (std::exchange(rings_[i].owes_interrupt, false) && rings_[i].vring != nullptr) interrupt_driver(i);
  }
}

// ---- the messages ----

Rings::Result Rings::set_num(const VringState& message) {
  if (auto known = check_index(message.index); !known) return known;
  RingState next = state_.rings[message.index];
  if (next.started != 0) {
    // The message that started it, handled again as a process before us did not come to its end.
    return next.size == message.num ? Result{} : is_running(message.index);
  }
  if (const std::string wrong = check_ring_size(message.num, state_.features); !wrong.empty()) {
    return ring_error(message.index, wrong);
  }
  next.size = message.num;
  return change(message.index, next);
}

Rings::Result Rings::set_addr(const VringAddress& message) {
  if (auto known = check_index(message.index); !known) return known;
  if ((message.flags & ~kVringLogFlag) != 0) {
    return ring_error(message.index, "address flags are 0 or 1 (log), not " + std::to_string(message.flags));
  }
  RingState next = state_.rings[message.index];
  next.descriptor = message.descriptor;
  next.available = message.available;
  next.used = message.used;
  next.log_addr = message.log;
  next.log = (message.flags & kVringLogFlag) != 0 ? 1 : 0;
  next.addresses_set = 1;
  if (next.size != 0 && memory_ != nullptr && !memory_->entries().empty()) {
    // Said now, while the message that is wrong is at hand, even if the ring starts later.
    if (const auto checked = make_vring(next, {state_.features, memory_.get(), log_.get(), nullptr, -1, -1});
        !checked) {
      return ring_error(message.index, checked.error());
    }
  }
  return change(message.index, next);
}

Rings::Result Rings::set_base(const VringState& message) {
  if (auto known = check_index(message.index); !known) return known;
  RingState next = state_.rings[message.index];
  if (next.started != 0) {
    return next.base_set != 0 && next.base == message.num ? Result{} : is_running(message.index);  // as above
  }
  if (!is_packed(state_.features) && message.num > 0xffffU) {
    return ring_error(message.index, "a base of a split ring is 0 to 65535, not " + std::to_string(message.num));
  }
  next.base = message.num;
  next.base_set = 1;
  return change(message.index, next);
}

tl::expected<std::uint32_t, std::string> Rings::get_base(const VringState& message) {
  if (auto known = check_index(message.index); !known) return tl::unexpected(known.error());
  Ring& ring = rings_[message.index];
  const bool packed = is_packed(state_.features);
  if (ring.vring != nullptr) {
    take_back(message.index);
    wait_for_pmds_();
    ring.vring.reset();
  }
  RingState next = state_.rings[message.index];
  if (next.started != 0) {
    next.base = vring_base(state_.progress[message.index].position, packed);
  } else if (next.base_set == 0) {
    next.base = fresh_vring_base(packed);
  }
  next.base_set = 1;
  next.started = next.kicked = 0;
  store_ring(state_, message.index, next);
  if (ring.kick) estate_.forget(Heirloom::kick, message.index);
  ring.kick.reset();
  return next.base;
}

Rings::Result Rings::set_kick(std::uint32_t index, UniqueFd fd) {
  if (auto known = check_index(index); !known) return known;
  rings_[index].kick = std::move(fd);  // no PMD looks at it
  if (rings_[index].kick) {
    estate_.keep(Heirloom::kick, index, rings_[index].kick.get());
  } else {
    estate_.forget(Heirloom::kick, index);
  }
  RingState next = state_.rings[index];
  if (next.started != 0) return {};
  next.kicked = 1;
  // The document's "Ring states": without protocol features a ring starts in the enabled state.
  if ((state_.features & feature::kProtocolFeatures) == 0) next.enabled = 1;
  return change(index, next);
}

Rings::Result Rings::replace_fd(std::uint32_t index, UniqueFd Ring::*member, Heirloom kind,
                                std::uint8_t RingState::*has, UniqueFd fd) {
  if (auto known = check_index(index); !known) return known;
  Ring& ring = rings_[index];
  std::swap(ring.*member, fd);
  if (ring.vring != nullptr) {
    if (auto changed = change(index, state_.rings[index]); !changed) {
      std::swap(ring.*member, fd);
      return changed;
    }
  }
  // At no instant does the state name a descriptor that is not kept.
  if (ring.*member) {
    estate_.keep(kind, index, (ring.*member).get());
    commit(state_.rings[index].*has, std::uint8_t{1});
  } else {
    commit(state_.rings[index].*has, std::uint8_t{0});
    estate_.forget(kind, index);
  }
  return {};  // and now, when no PMD uses it any more, the fd of before is closed
}

Rings::Result Rings::set_call(std::uint32_t index, UniqueFd fd) {
  auto replaced = replace_fd(index, &Ring::call, Heirloom::call, &RingState::has_call, std::move(fd));
  // What was used before this fd was known has not been told to anybody.
  if (replaced && rings_[index].vring != nullptr) interrupt_driver(index);
  return replaced;
}

Rings::Result Rings::set_err(std::uint32_t index, UniqueFd fd) {
  return replace_fd(index, &Ring::err, Heirloom::err, &RingState::has_err, std::move(fd));
}

Rings::Result Rings::set_enable(const VringState& message) {
  if (auto known = check_index(message.index); !known) return known;
  if (message.num > 1) return ring_error(message.index, "enable is 0 or 1, not " + std::to_string(message.num));
  RingState next = state_.rings[message.index];
  if (next.enabled == message.num) return {};
  next.enabled = static_cast<std::uint8_t>(message.num);
  return change(message.index, next);
}

Rings::Result Rings::disable_all() {
  for (unsigned i = 0; i < rings_.size(); ++i) {
    if (auto disabled = set_enable({i, 0}); !disabled) return disabled;
  }
  return {};
}

}  // namespace sluice::ports::vhost
