#include "ports/vhost/vhost_port.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ports/vhost/local_estate.hpp"
#include "ports/vhost/node_pages.hpp"

namespace sluice::ports::vhost {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kMinMtu = 68;
constexpr std::uint32_t kMaxMtu = 65535;
constexpr unsigned kAcceptsARound = 32;

// Between bind and listen of a new server there are microseconds, so the first attempts are close to each other.
constexpr unsigned kQuickAttempts = 100;
constexpr auto kQuickRetry = 1ms;
constexpr auto kSlowRetry = 100ms;
constexpr auto kRetryWithoutWatch = 15ms;
constexpr auto kRetryAfterMisbehaviour = 1s;
constexpr auto kRetryAccept = 100ms;

std::string check(const VhostPortOptions& o) {
  if (o.path.empty()) return "path is empty";
  if (o.path.size() > kMaxSocketPath) {
    return "path '" + o.path + "' is " + std::to_string(o.path.size()) + " bytes long, a UNIX socket path holds " +
           std::to_string(kMaxSocketPath);
  }
  if (o.queue_pairs < 1 || o.queue_pairs > kMaxQueuePairs) {
    return "queues: " + std::to_string(o.queue_pairs) + ", must be 1 to " + std::to_string(kMaxQueuePairs);
  }
  if (o.mtu < kMinMtu || o.mtu > kMaxMtu) {
    return "mtu: " + std::to_string(o.mtu) + ", must be " + std::to_string(kMinMtu) + " to " + std::to_string(kMaxMtu);
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> RateLimiter::allow() {
  const auto now = std::chrono::steady_clock::now();
  tokens_ = std::min(kBurst, tokens_ + kASecond * std::chrono::duration<double>(now - last_).count());
  last_ = now;
  if (tokens_ < 1) {
    ++refused_;
    return std::nullopt;
  }
  tokens_ -= 1;
  return std::exchange(refused_, 0);
}

VhostPort::Result VhostPort::create(const VhostPortOptions& options, const PortHost& host) {
  auto estate = std::make_unique<LocalEstate>();
  auto port = prepare(options, host, *estate);
  if (!port) return port;
  (*port)->own_estate_ = std::move(estate);
  (*port)->activate();
  return port;
}

VhostPort::Result VhostPort::prepare(const VhostPortOptions& options, const PortHost& host, Estate& estate) {
  const auto fail = [&](const std::string& what) { return tl::unexpected("port '" + options.name + "': " + what); };
  if (const std::string wrong = check(options); !wrong.empty()) return fail(wrong);
  if (const std::uint32_t layout = estate.state().layout; layout != 0 && layout != PortState::kLayout) {
    return fail("its state has layout " + std::to_string(layout) + ", this version knows " +
                std::to_string(PortState::kLayout));
  }
  UniqueFd alarm(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!alarm) return fail(std::string("no eventfd: ") + std::strerror(errno));
  std::unique_ptr<VhostPort> port(new VhostPort(options, host, estate, std::move(alarm)));
  if (auto opened = port->open_listener(); !opened) return fail(opened.error());
  port->prepare_connection(estate.state().attempts);
  // Another serves the VM, and can go on with it.
  if (port->inherited_ && options.has_time && !options.has_to_go_on) {
    if (auto suits = port->device_.suits(); !suits) {
      return fail("the VM that is connected cannot be taken up: " + suits.error() +
                  "; end it or let the port be as it is");
    }
  }
  if (options.has_time) port->device_.settle_prepared();
  return port;
}

VhostPort::VhostPort(VhostPortOptions options, PortHost host, Estate& estate, UniqueFd alarm)
    : options_(std::move(options)),
      host_(std::move(host)),
      estate_(estate),
      alarm_(std::move(alarm)),
      device_({options_.queue_pairs, options_.mtu, alarm_.get(), options_.queue_size},
              {host_.wait_for_pmds,
               [this] {
                 if (!queues_changed) return;
                 queues_changed();
                 log(Severity::debug, "rings in use: " + describe_rings());
               },
               [this](const std::uint8_t (&mac)[6]) {
                 if (announced && announcements_.allow()) announced(mac);
               },
               [this](Severity severity, const std::string& text) { log(severity, text); },
               [this](int node) { move_pages_to_node(&estate_.state(), sizeof(PortState), node); }},
              estate) {}

VhostPort::~VhostPort() {
  queues_changed = nullptr;
  if (stage_ != Stage::active) return;
  stop_serving();
  if (connection_ != nullptr) {
    close_connection();
  } else {
    device_.reset();
  }
  if (listener_) estate_.forget(Heirloom::listener, 0);
  commit(estate_.state().layout, 0U);  // of nobody from now on
}

void VhostPort::log(Severity severity, const std::string& text) {
  // Apart: what nobody may be reading leaves nothing out that somebody should.
  const auto suppressed = (severity == Severity::debug ? debug_lines_ : lines_).allow();
  if (!suppressed) return;
  host_.log(severity, "port '" + options_.name + "': " + text +
                          (*suppressed == 0 ? "" : " (and " + std::to_string(*suppressed) + " lines not shown)"));
}

// ---- server ----

void VhostPort::watch_listener() {
  host_.loop->watch(listener_->fd(), EPOLLIN, [this](std::uint32_t) { accept_all(); });
}

void VhostPort::accept_all() {
  for (unsigned i = 0; i < kAcceptsARound; ++i) {
    UniqueFd socket(::accept4(listener_->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
      // The connection stays in the queue and would wake us at once again.
      log(Severity::error, std::string("cannot accept a connection: ") + std::strerror(errno));
      host_.loop->unwatch(listener_->fd());
      timer_ = host_.loop->after(kRetryAccept, [this] {
        timer_ = 0;
        watch_listener();
      });
      return;
    }
    if (held_off()) continue;  // closed; the log has said so when it began
    // A front end that restarts may be back before its end was noticed.
    if (connection_ != nullptr && connection_->closed_by_peer()) connection_ended({});
    if (connection_ == nullptr) {
      connected(std::move(socket));
    } else {
      log(Severity::warning,
          "a second front end connected to '" + options_.path + "' and was turned away: the port has one at a time");
    }
  }
}

// ---- client ----

void VhostPort::try_to_connect() {
  if (held_off() && timer_ != 0) return;  // the socket has appeared, but it is too early
  if (timer_ != 0) host_.loop->cancel(std::exchange(timer_, 0));
  auto socket = connect_to(options_.path);
  if (socket) {
    connected(std::move(*socket));
  } else {
    const int error = socket.error();
    if (attempts_ == 0) {
      const bool may_come = error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
      log(may_come ? Severity::debug : Severity::warning,
          "cannot connect to '" + options_.path + "': " + std::strerror(error) + "; trying on");
    }
    retry_later();
  }
}

void VhostPort::retry_later() {
  std::chrono::nanoseconds delay = attempts_ < kQuickAttempts ? kQuickRetry : kSlowRetry;
  if (!watch_->works()) delay = std::min<std::chrono::nanoseconds>(delay, kRetryWithoutWatch);
  if (std::exchange(misbehaved_, false)) delay = kRetryAfterMisbehaviour;
  delay = std::max(delay, hold_off_.left(std::chrono::steady_clock::now()));
  ++attempts_;
  timer_ = host_.loop->after(delay, [this] {
    timer_ = 0;
    try_to_connect();
  });
}

// ---- the connection ----

void VhostPort::connected(UniqueFd socket) {
  const Change change(estate_.state());
  estate_.keep(Heirloom::connection, 0, socket.get());
  log(Severity::info, "front end connected");
  talk(std::move(socket));
}

void VhostPort::talk(UniqueFd socket) {
  connection_ = std::make_unique<Connection>(
      std::move(socket), *host_.loop, options_.message_deadline,
      Connection::Handlers{
          [this](Message message) {
            const Change change(estate_.state());
            const Attempt attempt(estate_.state(), 0);
            Outcome outcome = device_.handle(std::move(message));
            if (outcome.error.empty()) attempts_ = 0;
            // No message more: each could make us wait.
            if (outcome.error.empty() && device_.held_up_a_pmd()) outcome.error = "it held the switch up";
            return outcome;
          },
          [this](const std::string& reason) { connection_ended(reason); },
          [this](bool settling) { commit(estate_.state().phase, settling ? Phase::settling : Phase::rest); }});
}

/// The socket last: a front end that sees it closed may take its memory away.
void VhostPort::close_connection() {
  const Change change(estate_.state());
  commit(estate_.state().phase, Phase::closing);
  device_.reset();
  connection_->shut_down();
  connection_.reset();
  estate_.forget(Heirloom::connection, 0);
  commit(estate_.state().phase, Phase::rest);
}

void VhostPort::connection_ended(const std::string& reason) {
  close_connection();
  const std::string why = device_.forgive() ? hold_off() : reason;
  misbehaved_ = !why.empty();
  if (misbehaved_) {
    log(Severity::error, why + "; connection closed");
  } else {
    log(Severity::info, "front end disconnected");
  }
  if (!listener_) retry_later();
}

std::string VhostPort::hold_off() {
  const auto length = hold_off_.begin(std::chrono::steady_clock::now());
  return "the front end made a ring's call eventfd blocking and filled it, so that a write to it waited; nobody may "
         "connect for " +
         std::to_string(length.count()) + " s";
}

bool VhostPort::held_off() const { return hold_off_.left(std::chrono::steady_clock::now()) > 0s; }

void VhostPort::answer_alarm() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(alarm_.get(), &count, sizeof count);
  if (connection_ == nullptr) return;
  if (device_.held_up_a_pmd()) {
    connection_ended({});
  } else if (device_.memory_lost()) {
    connection_ended("the front end cut off memory that it had shared (its file was truncated, or huge pages ran out)");
  }
}

}  // namespace sluice::ports::vhost
