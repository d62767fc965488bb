// ServiceManager: the protocol of sd_notify(3), spoken with whoever has started us: that we are ready, reload, stop and
// live, and the store of descriptors that outlive the keeper.
//
// Nothing here waits for a service manager that does not read: what it is told is kept, in order, and tried again from
// an event loop; of what became of one kept descriptor since, only the last. What has not been taken when the process
// ends is waited for, not for long.
//
// Without NOTIFY_SOCKET all of it does nothing. The protocol is a datagram of text to a UNIX socket, stable by promise
// of sd_notify(3), "Notes": a library for it would be a dependency for some lines.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <string_view>

#include "control/keeper/keepsakes.hpp"
#include "control/keeper/message.hpp"
#include "ports/event_loop.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

class ServiceManager {
 public:
  /// From the environment, which workers are not to inherit: the variables are taken out of it.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// For as long as one lives, what waits is tried again from its loop.
  class Retries {
   public:
    Retries(ServiceManager& manager, ports::EventLoop& loop) : manager_(manager) { manager_.use(&loop); }
    ~Retries() { manager_.use(nullptr); }
    Retries(const Retries&) = delete;
    Retries& operator=(const Retries&) = delete;

   private:
    ServiceManager& manager_;
  };

  void ready();
  void reloading();
  void stopping();
  void alive();
  /// The period of WATCHDOG_USEC; 0: nobody watches.
  [[nodiscard]] std::chrono::microseconds watchdog() const { return watchdog_; }

  /// What a message of keep, forget or forget_slot says; `kept` as it was before.
  void store(const Message& message, int fd, const Keepsakes& kept);
  void store_state(int fd);
  /// The configuration's text (config_text.hpp), in place of the one before.
  void store_config(int fd);
  /// What was found is of no use.
  void forget_all(const Keepsakes& kept);

  /// What was stored by a keeper before us, from LISTEN_FDS and its kin (sd_listen_fds(3)).
  struct Found {
    ports::UniqueFd state;
    ports::UniqueFd config;
    Keepsakes kept;
  };
  [[nodiscard]] Found take_found() { return std::move(found_); }

 private:
  struct Notice {
    std::string text;
    std::string name;  ///< of the kept descriptor that it is about; empty: it is about none
    ports::UniqueFd fd;
  };

  void use(ports::EventLoop* loop);
  void say(std::string text, std::string_view name = {}, int fd = -1);
  void remove(std::string_view name);
  [[nodiscard]] bool send(const Notice& notice, int fd) const;
  void not_told(const Notice& notice) const;
  [[nodiscard]] bool flush();
  void try_later();

  std::string address_;
  ports::UniqueFd socket_;
  std::deque<Notice> waiting_;
  ports::EventLoop* loop_ = nullptr;
  ports::EventLoop::TimerId retry_ = 0;
  std::chrono::microseconds watchdog_{0};
  Found found_;
};

}  // namespace sluice::control
