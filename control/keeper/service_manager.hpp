// ServiceManager: the protocol of sd_notify(3), spoken with whoever has started us: that we are ready, reload, stop and
// live, and the store of descriptors that outlive the keeper.
//
// Without NOTIFY_SOCKET all of it does nothing. The protocol is a datagram of text to a UNIX socket, stable by promise
// of sd_notify(3), "Notes": a library for it would be a dependency for some lines.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "control/keeper/keepsakes.hpp"
#include "control/keeper/message.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

class ServiceManager {
 public:
  /// From the environment, which workers are not to inherit: the variables are taken out of it.
  ServiceManager();

  void ready() const;
  void reloading() const;
  void stopping() const;
  void alive() const { say("WATCHDOG=1"); }
  /// The period of WATCHDOG_USEC; 0: nobody watches.
  [[nodiscard]] std::chrono::microseconds watchdog() const { return watchdog_; }

  /// What a message of keep, forget or forget_slot says; `kept` as it was before.
  void store(const Message& message, int fd, const Keepsakes& kept) const;
  void store_state(int fd) const;
  /// The configuration's text (config_text.hpp), in place of the one before.
  void store_config(int fd) const;
  /// What was found is of no use.
  void forget_all(const Keepsakes& kept) const;

  /// What was stored by a keeper before us, from LISTEN_FDS and its kin (sd_listen_fds(3)).
  struct Found {
    ports::UniqueFd state;
    ports::UniqueFd config;
    Keepsakes kept;
  };
  [[nodiscard]] Found take_found() { return std::move(found_); }

 private:
  void say(std::string_view text, int fd = -1) const;

  std::string address_;
  ports::UniqueFd socket_;
  std::chrono::microseconds watchdog_{0};
  Found found_;
};

}  // namespace sluice::control
