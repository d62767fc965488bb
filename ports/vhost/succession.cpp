// How a vhost-user port follows the one that a process before this one had, and how it makes room for the next.
//
// What is there to be taken up is a state (PortState) and descriptors, as a process left them that may have been killed
// between any two instructions. Whatever a message was about to change is either done or not, and the message is still
// in the socket: the first thing a successor does is to handle it, before any PMD sees the rings. All that cannot be
// known is whether a reply was sent that was about to be (Phase::settling); that connection is closed.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "ports/vhost/feature_names.hpp"
#include "ports/vhost/vhost_port.hpp"

namespace sluice::ports::vhost {
namespace {

/// By then PMDs have worked through what had piled up, and have met pages of the guest's by which its node is told.
constexpr std::chrono::seconds kSettle{1};

/// Whatever a predecessor keeps for a connection.
void forget_connection(Estate& estate) {
  const auto forget = [&](Heirloom kind, unsigned index) {
    if (estate.take(kind, index)) estate.forget(kind, index);
  };
  for (unsigned i = 0; i < kMaxRings; ++i) {
    for (const Heirloom kind : {Heirloom::kick, Heirloom::call, Heirloom::err}) forget(kind, i);
  }
  for (unsigned slot = 0; slot < kRegionSlots; ++slot) forget(Heirloom::memory, slot);
  for (unsigned slot = 0; slot < kLogSlots; ++slot) forget(Heirloom::dirty_log, slot);
  forget(Heirloom::connection, 0);
}

/// Closes the connection of a predecessor, the socket last.
void close_inherited(Estate& estate, UniqueFd socket) {
  commit(estate.state().phase, Phase::closing);
  clear_connection(estate.state());
  if (socket) ::shutdown(socket.get(), SHUT_RDWR);
  socket.reset();
  forget_connection(estate);
  commit(estate.state().phase, Phase::rest);
}

}  // namespace

/// Whether the state is that of a port with our socket.
bool VhostPort::known() const {
  const PortState& state = estate_.state();
  return state.layout == PortState::kLayout && options_.path == state.path.data() &&
         (state.client != 0) == (options_.mode == SocketMode::client);
}

/// What the process before this one listened on, if there is such a socket, whatever has become of its file.
std::optional<ListenSocket> VhostPort::inherited_listener() {
  UniqueFd left = known() ? estate_.take(Heirloom::listener, 0) : UniqueFd();
  if (!left) return {};
  const PortState& state = estate_.state();
  auto adopted = ListenSocket::adopt(std::move(left), options_.path, state.listener_device, state.listener_inode);
  if (adopted) return std::move(*adopted);
  log(Severity::warning, adopted.error() + "; listening anew");
  return {};
}

tl::expected<void, std::string> VhostPort::open_listener() {
  if (options_.mode != SocketMode::server) return {};
  std::optional<ListenSocket> left = inherited_listener();
  if (left && left->has_file()) {
    listener_.emplace(std::move(*left));
    return {};
  }
  auto listening = ListenSocket::listen(options_.path, options_.socket_permissions);
  const std::string gone = "the file of the socket that was left is gone";
  if (listening) {
    if (left) log(Severity::warning, "path '" + options_.path + "': " + gone + "; listening anew");
    listener_.emplace(std::move(*listening));
    return {};
  }
  if (!left || !options_.has_to_go_on) return tl::unexpected(listening.error());
  // Its front end has no need of the file, until it has to connect again.
  log(Severity::warning, listening.error() + ", and " + gone +
                             ": who is connected stays so, and nobody can connect until that is put right and the "
                             "switch upgraded");
  listener_.emplace(std::move(*left));
  return {};
}

void VhostPort::prepare_connection(unsigned died) {
  readiness_.reset();
  inherited_.reset();
  const PortState& state = estate_.state();
  prepared_for_ = state.generation;
  device_.let_go_of_prepared();  // a VM that is gone wants its memory back
  if (!known()) return;
  inherited_ = estate_.take(Heirloom::connection, 0);
  // What others have died of is not tried again.
  if (died >= Attempt::kMost) return;
  if (inherited_ && state.phase == Phase::rest && state.staged == 0) readiness_ = device_.prepare();
}

void VhostPort::prepare_again() {
  const PortState& state = estate_.state();
  // Odd: it is being changed. Whatever is wrong with what is prepared, it is looked at again when it is taken up.
  if (stage_ != Stage::prepared || state.generation == prepared_for_ || state.generation % 2 != 0) return;
  prepare_connection(state.attempts);
  device_.settle_prepared();
}

void VhostPort::begin_state() {
  PortState& state = estate_.state();
  if (!known()) {
    abandon(estate_);
    state.path = {};
    options_.path.copy(state.path.data(), state.path.size() - 1);
    state.client = options_.mode == SocketMode::client ? 1 : 0;
    commit(state.layout, PortState::kLayout);
  }
  if (!listener_) return;
  listener_->own(true);
  if (state.listener_inode == listener_->inode() && state.listener_device == listener_->device()) return;
  state.listener_device = listener_->device();
  state.listener_inode = listener_->inode();
  estate_.keep(Heirloom::listener, 0, listener_->fd());
}

void VhostPort::activate() {
  begin_state();
  stage_ = Stage::active;
  take_up();
  serve();
  if (connection_ != nullptr) connection_->handle_waiting();
  // Whatever others may have died of has been tried by now.
  commit(estate_.state().attempts, std::uint8_t{0});
}

void VhostPort::take_up() {
  PortState& state = estate_.state();
  const std::uint8_t died = state.attempts;
  const Attempt attempt(state, died);
  // Looked at again as well if a descriptor was missing, which may have been on its way then.
  if (!readiness_ || !*readiness_ || prepared_for_ != state.generation) {
    finish_store(state);
    prepare_connection(died);
  }
  const Change change(state);
  if (!inherited_) return close_inherited(estate_, {});  // there is none, and nothing of one may be left
  if (const std::string wrong = take_up_connection(died); !wrong.empty()) {
    log(Severity::error, wrong + "; connection closed");
    // Said first: whoever dies in the middle of the reset leaves half a state.
    commit(state.phase, Phase::closing);
    device_.reset();
    return close_inherited(estate_, std::move(inherited_));
  }
  unsigned rings = 0;
  for (unsigned i = 0; i < device_.rings().count(); ++i) rings += device_.rings().ring(i).started;
  log(Severity::info, "taken up again: " + std::to_string(rings) + (rings == 1 ? " ring" : " rings") + ", features " +
                          feature_names(state.features));
  talk(std::move(inherited_));
}

/// What is wrong with it; empty: nothing.
std::string VhostPort::take_up_connection(unsigned died) {
  if (died >= Attempt::kMost) {
    return "the last " + std::to_string(died) + " processes ended while they did the same of what it wants";
  }
  switch (estate_.state().phase) {
    case Phase::settling: return "the process before this one ended while it answered a message";
    case Phase::closing: return "the process before this one ended while it closed the connection";
    case Phase::rest: break;
  }
  auto taken = *readiness_;
  if (taken) taken = device_.take_over();
  return taken ? std::string() : "the process before this one has left what cannot be taken up: " + taken.error();
}

void VhostPort::serve() {
  host_.loop->watch(alarm_.get(), EPOLLIN, [this](std::uint32_t) { answer_alarm(); });
  if (connection_ != nullptr) {
    settle_timer_ = host_.loop->after(kSettle, [this] {
      settle_timer_ = 0;
      device_.settle();
    });
  }
  if (listener_) {
    watch_listener();
    return;
  }
  if (watch_ != nullptr) {
    watch_->go_on();
  } else {
    watch_ = std::make_unique<PathWatch>(*host_.loop, options_.path, [this] {
      attempts_ = 0;
      if (connection_ == nullptr) try_to_connect();
    });
  }
  if (!watch_->works()) {
    log(Severity::warning,
        "no inotify instance is left (fs.inotify.max_user_instances); looking for '" + options_.path + "' by a timer");
  }
  if (connection_ == nullptr) try_to_connect();
}

void VhostPort::stop_serving() {
  for (EventLoop::TimerId* const timer : {&timer_, &settle_timer_}) {
    if (*timer != 0) host_.loop->cancel(std::exchange(*timer, 0));
  }
  if (listener_) host_.loop->unwatch(listener_->fd());
  if (watch_ != nullptr) watch_->pause();
  host_.loop->unwatch(alarm_.get());
}

void VhostPort::leave() {
  if (stage_ != Stage::active) return;
  stage_ = Stage::left;
  stop_serving();
  if (connection_ != nullptr) connection_->pause();
  if (listener_) listener_->own(false);
}

void VhostPort::stay() {
  if (stage_ != Stage::left) return;
  stage_ = Stage::active;
  if (listener_) listener_->own(true);
  serve();
  if (connection_ == nullptr) return;
  connection_->go_on();
  connection_->handle_waiting();
}

void VhostPort::abandon(Estate& estate) {
  PortState& state = estate.state();
  if (state.layout != PortState::kLayout) return;
  close_inherited(estate, estate.take(Heirloom::connection, 0));
  state.path.back() = 0;
  if (state.client == 0) remove_socket(state.path.data(), state.listener_device, state.listener_inode);
  estate.forget(Heirloom::listener, 0);
  state.listener_device = state.listener_inode = 0;
  commit(state.layout, 0U);
}

}  // namespace sluice::ports::vhost
