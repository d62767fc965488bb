// An upgrade: another worker is started beside the one that works, and makes itself ready; the old one parks at the end
// of a burst; the new one takes up the ports. Until it does, the old one can go on as if nothing had been; after that
// it ends if it is told to, and another of its version follows.
//
//   preparing   the candidate is started with the new program and the configuration read anew; when it is ready, the
//               active one writes its flows down, and the candidate has them in its tables
//   closing     then the active one is told to hand over, and closes its devices
//   parking     then it parks
//   taking up   the active one is parked: the candidate is told to go, takes up guests' ports, and then opens devices
//   proving     the candidate is running, and is the active one; the old one waits, parked, until that has been seen
//               for a while, since it has the connection of whoever asked for all this
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <utility>

#include "control/config/load.hpp"
#include "control/keeper/config_text.hpp"
#include "control/keeper/keeper.hpp"

namespace sluice::control {

using std::chrono::milliseconds;

namespace {

/// For steps that take milliseconds where all is well. Nothing moves meanwhile.
constexpr milliseconds kParkPatience{1000};
constexpr milliseconds kTakeUpPatience{1000};
/// For the old one to close its devices, which some take seconds for. Guests are served meanwhile. To open them, the
/// new one has as long as after a crash: it has guests by then, who would have to wait for yet another.
constexpr milliseconds kDevicePatience{10'000};

}  // namespace

void Keeper::begin_upgrade(const Received& request) {
  if (stopping_ || stage_ != Stage::none || !active_->why.empty()) {
    return command(*active_, Saying::upgraded, "another upgrade is under way, or the switch is about to end");
  }
  auto binary = Binary::open(request.text.empty() ? installed_ : request.text);
  if (!binary) return command(*active_, Saying::upgraded, binary.error().message);
  auto text = read_config_text_anew(options_.config);
  if (!text) return command(*active_, Saying::upgraded, text.error().message);
  auto kept = keep_config_text(*text);
  if (!kept) return command(*active_, Saying::upgraded, kept.error().message);

  spdlog::info("upgrade: '{}' is started beside worker {}", binary->path, active_->process.pid());
  manager_.reloading();
  if (other_ != nullptr) {
    // A worker that stands by would be of the old version.
    other_->dismissed = true;
    other_->process.signal(SIGKILL);
    former_.push_back(std::move(other_));
  }
  stage_ = Stage::preparing;
  next_ = Version{std::move(*binary), std::move(*kept)};
  other_ = spawn(*next_);
  role_ = Other::candidate;
  if (other_ == nullptr) {
    role_ = Other::none;
    end_stage();
    return upgrade_failed("it cannot be started");
  }
  arm(stage_timer_, milliseconds(request.message.index), &Keeper::overdue);
}

void Keeper::candidate_ready() {
  if (stage_ != Stage::preparing || stopping_) return;
  lists_flows_ = true;
  tell(*active_, {.saying = Saying::list_flows, .index = ++listing_});
}

/// Without a list, flows begin with their next packets.
void Keeper::flows_listed(const Received& answer) {
  if (answer.message.index != listing_ || !std::exchange(lists_flows_, false) || stopping_) return;
  if (!answer.fd) return flows_adopted();
  tell(*other_, {.saying = Saying::adopt_flows}, {}, answer.fd.get());
}

void Keeper::flows_adopted() {
  if (stage_ != Stage::preparing || stopping_) return;
  // Of one that is to end, or has ended by now, that is heard next, and ends the upgrade.
  if (!other_->why.empty() || other_->process.is_dying()) return;
  stage_ = Stage::closing;
  arm(stage_timer_, kDevicePatience, &Keeper::overdue);
  command_urgently(*active_, Saying::hand_over);
}

void Keeper::parking() {
  if (stage_ != Stage::closing) return;
  stage_ = Stage::parking;
  pause_begin_ = Clock::now();
  arm(stage_timer_, kParkPatience, &Keeper::overdue);
}

void Keeper::handed_over() {
  if (stopping_) return command(*active_, Saying::leave);
  if (stage_ != Stage::parking || other_ == nullptr) {
    // It has come to nothing meanwhile.
    if (active_ != nullptr) command(*active_, Saying::resume);
    return;
  }
  stage_ = Stage::taking_up;
  arm(stage_timer_, kTakeUpPatience, &Keeper::overdue);
  tell_to_go(*other_);
}

void Keeper::upgrade_has_taken_up() {
  if (stage_ != Stage::taking_up) return;
  pause_ = Clock::now() - pause_begin_;
  arm(stage_timer_, options_.start_patience, &Keeper::overdue);
}

/// A step has taken too long.
void Keeper::overdue() {
  if (stopping_) return;
  switch (stage_) {
    case Stage::none:
    case Stage::proving: return;
    case Stage::preparing:
      if (std::exchange(lists_flows_, false) && other_->why.empty() && !other_->process.is_dying()) {
        return flows_adopted();  // without them
      }
      if (other_->why.empty()) other_->why = "it was not ready in time";
      return other_->process.signal(SIGKILL);
    case Stage::closing:
    case Stage::parking:
      // The one that is to go hangs. The candidate follows it, as after a crash.
      if (active_ == nullptr) return;
      loop_.cancel(std::exchange(active_->overdue, 0));
      active_->why = "it did not hand over in time";
      return active_->process.signal(SIGKILL);
    case Stage::taking_up:
      if (!other_->why.empty()) return;
      return condemn(*other_,
                     other_->taken_up ? "it did not open its devices in time" : "it did not take up the ports in time",
                     static_cast<int>(other_->process.pid()));
  }
}

/// Whether all threads of the new version have moved since this was asked last, as far as they are watched.
bool Keeper::moves() {
  if (options_.recovery.hang_timeout.count() == 0) return true;
  return !proof_.look(shared_->heartbeats[active_->heartbeat], true);
}

/// One that stands still is killed by look() in the end, and the old version follows.
void Keeper::prove() {
  // One that dumps core has yet to be seen dead.
  const bool lives = moves() && !active_->dying && !active_->process.is_dying();
  proofs_ = lives ? proofs_ + 1 : 0;
  if (proofs_ < kProofs) return arm(stage_timer_, kProof, &Keeper::prove);
  end_stage();
  version_ = std::move(*std::exchange(next_, {}));
  manager_.store_config(version_.text.get());
  spdlog::info("upgrade: worker {} has taken over; nobody had the VMs' ports for {:.1f} ms", active_->process.pid(),
               Milliseconds(pause_).count());
  manager_.ready();
  command(*active_, Saying::proven);
  if (other_ == nullptr) return start_standby();
  command(*other_, Saying::upgraded);
  command(*other_, Saying::leave);
}

/// To whoever asked, by way of the worker that it asked, if that is still there.
void Keeper::upgrade_failed(const std::string& why) {
  spdlog::error("upgrade: {}; the version that was there goes on", why);
  manager_.ready();
  Worker* const asked = role_ == Other::followed ? other_.get() : active_.get();
  if (asked != nullptr) command(*asked, Saying::upgraded, why);
}

void Keeper::end_stage() {
  stage_ = Stage::none;
  lists_flows_ = false;
  loop_.cancel(std::exchange(stage_timer_, 0));
}

}  // namespace sluice::control
