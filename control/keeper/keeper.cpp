// The lives of workers: how they are started, sent off and watched. Their ends are in keeper_dying.cpp, the upgrade in
// keeper_upgrade.cpp.
#include "control/keeper/keeper.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "ports/vhost/unix_socket.hpp"

namespace sluice::control {

using std::chrono::milliseconds;

namespace {

/// Looks at the heartbeat in the time of patience that the configuration gives.
constexpr unsigned kLooks = 8;
/// For a hung worker to log its threads' stacks.
constexpr milliseconds kStackPatience{200};
/// For a worker that is told to stop to end, and moves. It takes a few tens of milliseconds, and seconds where devices
/// take their time to close; one that is killed leaves its sockets behind. One that hangs is killed as ever.
constexpr milliseconds kStopPatience{10'000};
/// For one that has no ports yet, and does not listen to anybody until it is ready.
constexpr milliseconds kUnreadyStopPatience{800};
/// For a worker that has been told to go to take up guests, who wait. It takes milliseconds; more than in an upgrade,
/// since there is nothing to go back to.
constexpr milliseconds kTakeUpPatience{2'000};

ports::UniqueFd ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return ports::UniqueFd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

}  // namespace

Keeper::Keeper(Options options, ServiceManager& manager, ports::UniqueFd state, SharedMemory shared, Keepsakes found)
    : manager_(manager),
      options_(std::move(options)),
      installed_(options_.binary.path),
      version_{std::move(options_.binary), std::move(options_.text)},
      state_(std::move(state)),
      shared_(std::move(shared)),
      kept_(std::move(found)),
      signals_(ending_signals()),
      standstill_(kLooks) {
  Received socket{{.saying = Saying::keep, .kind = Kept::control_socket}, {}, std::move(options_.control_socket)};
  apply(socket, nullptr);
}

Keeper::~Keeper() {
  active_.reset();
  other_.reset();
  former_.clear();
  // Their anchors are ending.
  for (int i = 0; i < 100 && ::waitpid(-1, nullptr, WNOHANG) >= 0; ++i) ::usleep(1000);
}

int Keeper::run() {
  ordinary_.apply(0);
  make_urgent(0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // of anchors, whose worker is dead
  loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
    stop(info.ssi_signo);
  });
  if (manager_.watchdog().count() > 0) loop_.every(manager_.watchdog() / 2, [this] { manager_.alive(); });
  start_active();
  loop_.run();  // which returns at once if there is nothing to do any more
  loop_.unwatch(signals_.get());
  if (stopping_ && !options_.leaves_all) remove_sockets();
  return exit_;
}

/// Those of ports that a worker has not removed because it had to be killed; not what another has put there since.
void Keeper::remove_sockets() const {
  for (const auto& [place, fd] : kept_.all()) {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (place.kind != Kept::listener || place.slot >= SharedState::kMaxSlots) continue;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) continue;
    const auto& state = shared_->vhost[place.slot].state;
    ports::vhost::remove_socket(address.sun_path, state.listener_device, state.listener_inode);
  }
}

std::unique_ptr<Keeper::Worker> Keeper::spawn(const Version& version, bool urgent) {
  const unsigned taken = active_ ? active_->heartbeat : other_ ? other_->heartbeat : 1;
  const unsigned heartbeat = 1 - taken;
  // Not one of a version, or with a configuration, that has yet to show that it can.
  const bool follows = shared_->takeovers.load(std::memory_order_relaxed) != 0;
  const bool has_to_go_on = follows && &version == &version_ && !options_.text_before;
  auto process = WorkerProcess::start(
      {version.binary, state_.get(), version.text.get(), options_.config, heartbeat, ordinary_, urgent, has_to_go_on});
  if (!process) {
    spdlog::error("{}", process.error().message);
    return nullptr;
  }
  auto worker = std::make_unique<Worker>(Worker{.process = std::move(*process), .heartbeat = heartbeat});
  watch(*worker);
  for (const auto& [place, fd] : kept_.all()) {
    tell(*worker, {.saying = Saying::keep, .kind = place.kind, .slot = place.slot, .index = place.index}, {}, fd.get());
  }
  if (is_alone()) command(*worker, Saying::alone);
  return worker;
}

/// Of a worker, or a keeper, before this one; they wait for it.
bool Keeper::guests_are_connected() const {
  return std::ranges::any_of(kept_.all(), [](const auto& kept) { return kept.first.kind == Kept::connection; });
}

void Keeper::start_active() {
  active_ = spawn(version_, guests_are_connected());
  if (active_ != nullptr) return expect(*active_, options_.start_patience);
  if (!ever_running_ && !guests_are_connected()) {
    exit_ = 1;
    return loop_.stop();
  }
  arm(restart_timer_, CrashLoop::kLongestDelay, &Keeper::start_active);
}

/// If it is time: whatever this waits for calls it again.
void Keeper::start_standby() {
  if (!options_.recovery.standby || stopping_ || other_ != nullptr || stage_ != Stage::none) return;
  if (active_ == nullptr || !active_->running || !is_alone() || standby_timer_ != 0) return;
  other_ = spawn(version_);
  role_ = other_ == nullptr ? Other::none : Other::standby;
  if (other_ != nullptr) expect(*other_, options_.start_patience);
}

/// The other becomes the active one; it goes as soon as it is ready, which it has as much time for as before.
void Keeper::promote() {
  active_ = std::move(other_);
  role_ = Other::none;
  if (active_->ready) tell_to_go(*active_);
}

void Keeper::tell_to_go(Worker& worker) {
  worker.going = true;
  worker.wants_alone = false;
  const bool another_waits = active_ != nullptr && &worker != active_.get();
  if (&worker == active_.get()) expect(worker, kTakeUpPatience);  // of a candidate the upgrade expects it
  command_urgently(worker, Saying::go, another_waits ? 1 : 0);
  if (is_alone()) command(worker, Saying::alone);
}

/// VMs wait from now on, and the worker is urgent until it lets that be.
void Keeper::command_urgently(Worker& worker, Saying saying, std::uint32_t index) {
  make_urgent(worker.process.pid());
  tell(worker, {.saying = saying, .index = index});
}

/// The next step of its start, within so long. One that is to end, and why, is expected to do nothing else.
void Keeper::expect(Worker& worker, milliseconds patience) {
  if (!worker.why.empty()) return;
  loop_.cancel(worker.overdue);
  worker.overdue = loop_.after(patience, [this, &worker, patience] { start_overdue(worker, patience); });
}

void Keeper::expect_nothing(Worker& worker) {
  if (worker.why.empty()) loop_.cancel(std::exchange(worker.overdue, 0));
}

void Keeper::start_overdue(Worker& worker, milliseconds patience) {
  if (worker.process.is_dying()) return;  // and its core may be what somebody waits for
  const std::string_view step = !worker.going      ? "was not ready"
                                : !worker.taken_up ? "did not take up the ports"
                                                   : "did not open its devices";
  condemn(worker, fmt::format("it {} within {} ms", step, patience.count()), static_cast<int>(worker.process.pid()));
}

void Keeper::watch(Worker& worker) {
  loop_.watch(worker.process.socket(), EPOLLIN, [this, &worker](std::uint32_t events) { on_socket(worker, events); });
  loop_.watch(worker.process.pid_fd(), EPOLLIN, [this, &worker](std::uint32_t) { died(worker); });
  loop_.watch(worker.process.lifeline(), 0, [this, &worker](std::uint32_t) { released(worker); });
}

void Keeper::unwatch(const Worker& worker) {
  loop_.unwatch(worker.process.socket());
  loop_.unwatch(worker.process.pid_fd());
  loop_.unwatch(worker.process.lifeline());
  for (const ports::UniqueFd& pmd : worker.pmds) loop_.unwatch(pmd.get());
}

void Keeper::on_socket(Worker& worker, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !worker.process.flush()) loop_.rewatch(worker.process.socket(), EPOLLIN);
  // Closed: it is about to be dead, which its pidfd says. Until then there is nothing to wait for here.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) loop_.unwatch(worker.process.socket());
  read_from(worker);
}

void Keeper::read_from(Worker& worker) {
  while (auto received = receive_message(worker.process.socket(), false)) handle(worker, *received);
}

void Keeper::tell(Worker& worker, const Message& message, std::string_view text, int fd) {
  worker.process.send(message, text, fd);
  if (worker.process.flush()) loop_.rewatch(worker.process.socket(), EPOLLIN | EPOLLOUT);
}

void Keeper::handle(Worker& worker, Received& received) {
  if (worker.dismissed) return;
  const bool active = &worker == active_.get();
  switch (received.message.saying) {
    case Saying::keep:
    case Saying::forget:
    case Saying::forget_slot:
      // Of a candidate too, which says nothing of them before it has the ports: if it fails then, the one before it
      // does not go on (KeeperLink::works()), and whoever follows needs what there is by now.
      return apply(received, &worker);
    case Saying::ready:
      worker.ready = true;
      expect_nothing(worker);
      if (active) return tell_to_go(worker);
      if (role_ == Other::candidate) candidate_ready();
      return follow_dying();
    case Saying::wants_alone: worker.wants_alone = true; return let_go_of_former();
    case Saying::taken_up: return now_taken_up(worker);
    case Saying::running: return now_running(worker);
    case Saying::refused: worker.why = std::move(received.text); return;
    case Saying::parking:
      if (active) parking();
      return;
    case Saying::handed_over:
      if (active) handed_over();
      return;
    case Saying::wants_upgrade:
      if (active) begin_upgrade(received);
      return;
    case Saying::flows_listed:
      if (active) flows_listed(received);
      return;
    case Saying::flows_adopted:
      if (role_ == Other::candidate && &worker == other_.get()) flows_adopted();
      return;
    case Saying::go:
    case Saying::alone:
    case Saying::list_flows:
    case Saying::adopt_flows:
    case Saying::hand_over:
    case Saying::resume:
    case Saying::leave:
    case Saying::stop:
    case Saying::upgraded:
    case Saying::proven: return;  // ours to say
  }
}

/// Kept here, by the service manager, and by a worker that may come next.
void Keeper::apply(Received& received, const Worker* from) {
  const Message& m = received.message;
  const bool comes_next = other_ != nullptr && other_.get() != from && role_ != Other::followed;
  if (comes_next) tell(*other_, m, {}, received.fd.get());
  manager_.store(m, received.fd.get(), kept_);
  kept_.apply(received);
}

void Keeper::now_taken_up(Worker& worker) {
  if (std::exchange(worker.taken_up, true)) return;
  if (const auto since = std::exchange(death_noticed_, {})) {
    spdlog::info("worker {} has the VMs' ports, {:.1f} ms after the death of the one before was noticed",
                 worker.process.pid(), Milliseconds(Clock::now() - *since).count());
  }
  // Its PMDs are looked at from now on, and its control thread when it is running.
  standstill_.reset();
  adopt_settings(worker);
  if (&worker == active_.get()) expect(worker, options_.start_patience);
  if (&worker == other_.get()) upgrade_has_taken_up();
  let_go_of_former();
}

void Keeper::now_running(Worker& worker) {
  now_taken_up(worker);
  expect_nothing(worker);
  worker.running = true;
  if (&worker != other_.get()) spdlog::info("worker {} is running", worker.process.pid());
  if (&worker == other_.get()) {
    // The one before it is parked, and is told to leave once this one has proven to live.
    std::swap(active_, other_);
    if (other_ != nullptr) {  // if it was to be killed: it has handed over after all
      loop_.cancel(std::exchange(other_->overdue, 0));
      other_->why.clear();
    }
    role_ = other_ == nullptr ? Other::none : Other::followed;
    stage_ = Stage::proving;
    proof_.reset();
    proofs_ = 0;
    static_cast<void>(moves());  // since now
    arm(stage_timer_, kProof, &Keeper::prove);
  } else {
    command(worker, Saying::proven);
  }
  watch_pmds(*active_);
  if (!std::exchange(ever_running_, true)) {
    options_.text_before = {};
    manager_.store_config(version_.text.get());
    manager_.ready();
  }
  start_standby();
}

/// A worker says in its heartbeat what its configuration says of recovery.
void Keeper::adopt_settings(const Worker& worker) {
  const Heartbeat& heartbeat = shared_->heartbeats[worker.heartbeat];
  options_.recovery.standby = heartbeat.standby.load(std::memory_order_relaxed) != 0;
  options_.recovery.hang_timeout = milliseconds(heartbeat.hang_timeout_ms.load(std::memory_order_relaxed));
  loop_.cancel(looking_);
  looking_ = 0;
  if (options_.recovery.hang_timeout.count() == 0) return;
  looking_ = loop_.every(options_.recovery.hang_timeout / kLooks, [this] { look(); });
}

void Keeper::look() {
  // One that hands over stands still, and has a deadline of its own.
  const bool hands_over = stage_ == Stage::parking || stage_ == Stage::taking_up;
  Worker* const worker = hands_over ? other_.get() : active_.get();
  if (worker == nullptr || !worker->taken_up || !worker->why.empty()) return;
  const Heartbeat& heartbeat = shared_->heartbeats[worker->heartbeat];
  const auto found = standstill_.look(heartbeat, worker->running);
  for (const int pmd : standstill_.held_up(heartbeat)) worker->process.signal_thread(pmd, SIGURG);  // see PmdThread
  if (!found || worker->process.is_dying()) return;  // its core may be what somebody waits for
  const milliseconds stood = options_.recovery.hang_timeout * found->looks / kLooks;
  condemn(*worker, fmt::format("{} has stood still for {} ms", found->thread, stood.count()), found->kernel_id);
}

/// It is to be killed for what it, or a thread of it, does not do, when it has had time to say where that is.
void Keeper::condemn(Worker& worker, std::string why, int thread) {
  worker.why = std::move(why);
  show_stacks(worker, thread);
  loop_.cancel(worker.overdue);
  worker.overdue = loop_.after(kStackPatience, [&worker] { worker.process.signal(SIGKILL); });
}

/// Of the thread that is to blame, and of its PMDs.
void Keeper::show_stacks(const Worker& worker, int thread) {
  spdlog::error("worker {}: {}; its stack follows", worker.process.pid(), worker.why);
  worker.process.signal_thread(thread, SIGQUIT);
  // The control thread may stand because a PMD does.
  for (const auto& pmd : shared_->heartbeats[worker.heartbeat].pmds) {
    const auto number = static_cast<int>(pmd.thread.load(std::memory_order_relaxed));
    if (number != 0 && number != thread) worker.process.signal_thread(number, SIGQUIT);
  }
  worker.process.signal(SIGCONT);  // it may have been stopped, and then cannot say anything
}

void Keeper::stop(unsigned signal) {
  if (std::exchange(stopping_, true)) return;
  // Whoever says SIGINT wants an end; SIGTERM is also what a service manager says to a service that it starts anew.
  options_.leaves_all = options_.leaves_all && signal == SIGTERM;
  spdlog::info("{}: the switch ends{}", signal == SIGINT ? "SIGINT" : "SIGTERM",
               options_.leaves_all ? ", and leaves all to the service manager" : "");
  manager_.stopping();
  if (other_ != nullptr) other_->process.signal(SIGKILL);
  if (active_ == nullptr) return loop_.stop();
  // One that has no ports yet, or is parked, has nothing to hand over.
  const bool works = active_->going && stage_ != Stage::taking_up;
  command(*active_, !options_.leaves_all ? Saying::stop : works ? Saying::hand_over : Saying::leave);
  loop_.after(active_->going ? kStopPatience : kUnreadyStopPatience, [this] {
    if (active_ == nullptr) return;
    active_->why = "it did not end when told to";
    active_->process.signal(SIGKILL);
  });
}

void Keeper::arm(ports::EventLoop::TimerId& timer, milliseconds delay, void (Keeper::*then)()) {
  loop_.cancel(timer);
  timer = loop_.after(delay, [this, &timer, then] {
    timer = 0;
    (this->*then)();
  });
}

}  // namespace sluice::control
