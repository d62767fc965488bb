// `sluice worker`: the switch itself, as the keeper starts it; not for people. This thread becomes the control thread.
//
// It makes itself ready, waits for the keeper's word to go, and works until it is told to end, or to hand over to
// another worker that is ready: then it parks, and waits to be told which of the two goes on.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "control/cli/checked_config.hpp"
#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/keeper/anchor.hpp"
#include "control/keeper/config_text.hpp"
#include "control/keeper/keeper_link.hpp"
#include "control/keeper/stack_report.hpp"
#include "control/keeper/worker_process.hpp"
#include "control/log.hpp"
#include "control/rpc/listener.hpp"
#include "control/rpc/server.hpp"
#include "control/rpc/switch_methods.hpp"
#include "control/switch.hpp"
#include "control/urgency.hpp"
#include "ports/event_loop.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {
namespace {

using Command = KeeperLink::Command;

/// Often enough for the shortest patience that a configuration may ask for.
constexpr std::chrono::milliseconds kLongestBeat{50};
/// For as long, once the ports have been taken up, the slow path is urgent: all that has piled up meanwhile comes at
/// once.
constexpr std::chrono::milliseconds kUrgency{100};

/// While another worker has the ports: when the keeper has said nothing of them for so long, and again and again then.
constexpr std::chrono::milliseconds kRest{250};

class Worker {
 public:
  /// `ordinary` is what the threads are for which no VM waits.
  Worker(const Config& config, KeeperLink& link, const Scheduling& ordinary)
      : config_(config), link_(link), ordinary_(ordinary) {}

  /// Until the keeper says stop. An error is why it does not even begin.
  [[nodiscard]] Expected<void> run();

 private:
  void work();
  void obey();
  void on_command(const Command& command);
  [[nodiscard]] bool go_on_after_hand_over();
  void upgrade(const std::string& binary, std::chrono::milliseconds patience, Switch::Then<Expected<void>> then);
  void answer_upgrade(const std::string& error);
  void calm_down();

  const Config& config_;
  KeeperLink& link_;
  const Scheduling ordinary_;
  ports::EventLoop loop_;
  std::unique_ptr<Switch> switch_;
  bool hands_over_ = false;
  Switch::Then<Expected<void>> asked_for_upgrade_;
};

Expected<void> Worker::run() {
  // Of hugepages there are so many, and whoever was here before may still have some. Another command ends us.
  if (config_.memory.hugepages && !link_.wait_until_alone()) return {};
  auto prepared = Switch::prepare(config_, loop_, link_);
  if (!prepared) return tl::unexpected(prepared.error());
  switch_ = std::move(*prepared);
  ordinary_.apply_to_others();
  Heartbeat& heartbeat = link_.heartbeat();
  heartbeat.standby.store(config_.recovery.standby, std::memory_order_relaxed);
  heartbeat.hang_timeout_ms.store(static_cast<std::uint32_t>(config_.recovery.hang_timeout.count()),
                                  std::memory_order_relaxed);
  heartbeat.idle_sleep_ms.store(
      static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(config_.pmd.idle_sleep).count()),
      std::memory_order_relaxed);
  link_.report(Saying::ready, SLUICE_VERSION);
  bool another_waits = false;
  for (;;) {
    if (!link_.heard_within(kRest)) {
      switch_->prepare_again();
      continue;
    }
    auto command = link_.receive();
    if (!command && command.error() == Nothing::yet) continue;
    if (!command || command->saying == Saying::stop) return {};
    if (command->saying == Saying::leave) ::_exit(kDone);
    if (command->saying == Saying::adopt_flows) {
      if (auto adopted = switch_->adopt_flows(std::move(command->file)); !adopted) return adopted;
      link_.report(Saying::flows_adopted);
    }
    if (command->saying != Saying::go) continue;
    another_waits = command->index != 0;
    break;
  }
  // The keeper has made us urgent with that word, if we were not from the first; what we start, the slow path, is
  // urgent too.
  auto taken = switch_->take_up();
  ordinary_.apply(0);
  if (!taken) return taken;
  link_.report(Saying::taken_up);
  // Not, if the keeper has another command: that ends us.
  if (!switch_->has_devices() || link_.wait_until_alone()) {
    if (auto opened = switch_->open_devices(link_.restarts() == 0 || another_waits); !opened) {
      // Guests' ports go on with another worker: nothing of them may be put in order.
      if (link_.restarts() > 0) {
        switch_->close_devices();
        switch_->park();
      }
      return opened;
    }
  }
  work();
  return {};
}

void Worker::work() {
  Operations operations = operations_of(*switch_);
  operations.upgrade = [this](const auto& binary, auto patience, auto then) { upgrade(binary, patience, then); };
  ListeningSocket socket = ListeningSocket::borrowed(link_.take(Kept::control_socket));
  switch_->reserve_control_socket(socket.path());
  const RpcServer server(loop_, std::move(socket), switch_methods(operations));
  loop_.watch(link_.fd(), EPOLLIN, [this](std::uint32_t) { obey(); });
  const auto beat = std::min<std::chrono::nanoseconds>(kLongestBeat, config_.recovery.hang_timeout / 16);
  switch_->beat();
  if (beat.count() > 0) loop_.every(beat, [this] { switch_->beat(); });
  link_.report(Saying::running);
  calm_down();
  loop_.post([this] { obey(); });  // what has come meanwhile
  do {
    loop_.run();
  } while (hands_over_ && go_on_after_hand_over());
  loop_.unwatch(link_.fd());
}

void Worker::obey() {
  while (!hands_over_) {
    const auto command = link_.receive();
    if (command) {
      on_command(*command);
    } else {
      // The keeper is dead, and we are about to be: whoever finds what it held goes on with it, connections and rings.
      if (command.error() == Nothing::ever) ::_exit(kFailed);
      return;
    }
  }
}

void Worker::on_command(const Command& command) {
  if (command.saying == Saying::stop) loop_.stop();
  if (command.saying == Saying::upgraded) answer_upgrade(command.text);
  if (command.saying == Saying::proven) {
    switch_->abandon_others();
    link_.let_go_of_inherited();
  }
  if (command.saying == Saying::list_flows) {
    switch_->list_flows([this, asked = command.index](const ports::UniqueFd& list) {
      link_.report_file(Saying::flows_listed, asked, list);
    });
  }
  if (command.saying == Saying::hand_over) {
    hands_over_ = true;
    loop_.stop();
  }
}

/// Parks and waits; whether it is to go on as if nothing had been. Nothing of the event loop runs meanwhile, so that
/// what front ends send waits for whoever goes on. Clients' connections end with this worker, if it does.
bool Worker::go_on_after_hand_over() {
  switch_->close_devices();
  link_.report(Saying::parking);
  switch_->park();
  link_.report(Saying::handed_over);
  for (;;) {
    const auto command = link_.wait();
    // All that is here is another's by now, sockets and rings included: nothing may be put in order.
    if (!command || command->saying == Saying::leave) ::_exit(kDone);
    if (command->saying == Saying::stop) return false;
    if (command->saying == Saying::upgraded) answer_upgrade(command->text);
    if (command->saying == Saying::resume) break;
  }
  if (!link_.works()) {
    spdlog::error("the worker that was to follow had begun to: this one cannot know what has become of the ports");
    ::_exit(kFailed);  // and is followed, as after a crash
  }
  hands_over_ = false;
  switch_->unpark();
  ordinary_.apply(0);
  calm_down();
  return true;
}

void Worker::calm_down() {
  loop_.after(kUrgency, [this] { switch_->schedule_slow_path(ordinary_); });
}

void Worker::upgrade(const std::string& binary, std::chrono::milliseconds patience, Switch::Then<Expected<void>> then) {
  if (asked_for_upgrade_) return then(tl::unexpected(Error{"an upgrade is under way already"}));
  asked_for_upgrade_ = std::move(then);
  link_.report(Saying::wants_upgrade, binary, static_cast<std::uint32_t>(patience.count()));
}

void Worker::answer_upgrade(const std::string& error) {
  const auto then = std::exchange(asked_for_upgrade_, {});
  if (!then) return;
  then(error.empty() ? Expected<void>()
                     : tl::unexpected(Error{"the upgrade has failed, and the switch goes on as before: " + error}));
}

struct WorkerOptions {
  std::string config;
  std::uint32_t protocol = 0;
  unsigned heartbeat = 0;
  int policy = SCHED_OTHER;
  int priority = 0;
  bool has_to_go_on = false;
};

/// Tells people and the keeper why this worker does not begin.
int refuse(int link, const std::string& why) {
  (void)send_message(link, {.saying = Saying::refused}, why, -1, true);
  return fail(why);
}

int run(const WorkerOptions& options) {
  ports::UniqueFd link_fd(kWorkerLinkFd);
  const ports::UniqueFd state(kWorkerStateFd);
  const ports::UniqueFd text_fd(kWorkerConfigFd);
  for (const int fd : {kWorkerLinkFd, kWorkerStateFd, kWorkerConfigFd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NAME, "sluice-worker");
  const Scheduling ordinary(options.policy, options.priority);
  drop_anchor(ports::UniqueFd(kWorkerLifelineFd), ordinary);
  if (options.protocol != kKeeperProtocol) {
    return refuse(link_fd.get(), fmt::format("the keeper that runs speaks version {} of the keeper's protocol, this "
                                             "program version {}: restart the switch; under systemd, `systemctl "
                                             "restart` replaces the keeper too, and VMs stay connected",
                                             options.protocol, kKeeperProtocol));
  }
  auto shared = SharedMemory::map(state.get());
  if (!shared) return refuse(link_fd.get(), shared.error().message);
  const int reply_to = link_fd.get();
  KeeperLink link(std::move(link_fd), std::move(*shared), options.heartbeat, options.has_to_go_on);
  const auto text = kept_config_text(text_fd.get());
  if (!text) return refuse(reply_to, text.error().message);
  auto config = checked_config(*text, options.config);
  if (!config) {
    link.report(Saying::refused, fmt::format("{}", fmt::join(config.error(), "\n")));
    return report_errors(options.config, config.error());
  }

  start_log();
  std::signal(SIGPIPE, SIG_IGN);
  report_stacks();
  Worker worker(*config, link, ordinary);
  const auto done = worker.run();
  return done ? static_cast<int>(kDone) : refuse(reply_to, done.error().message);
}

}  // namespace

void add_worker(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("worker", "Be the switch, for 'sluice run'");
  command->group("");       // of no use to people
  command->allow_extras();  // of a keeper of another version, which is told so
  auto options = std::make_shared<WorkerOptions>();
  command->add_option("CONFIG", options->config, "What the configuration is called")->required();
  command->add_option("--protocol", options->protocol, "The version of what the keeper says")->required();
  command->add_option("--heartbeat", options->heartbeat, "Which of the heartbeats is ours")->check(CLI::Range(0, 1));
  command->add_option("--policy", options->policy, "Of its threads when no VM waits: see sched_setscheduler(2)");
  command->add_option("--priority", options->priority, "The same threads' priority");
  command->add_flag("--has-to-go-on", options->has_to_go_on, "There is nothing to fall back to if it refuses to begin");
  command->callback([options, &exit] { exit = run(*options); });
}

}  // namespace sluice::control
