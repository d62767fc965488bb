// RpcConnection: one client's socket: bytes in, lines cut from them, responses out. Control thread, never blocks.
//
// What a client can cost is bounded: kMaxMessageBytes of input kept, kMaxInFlight messages that are not yet answered
// (no more is read meanwhile), kMessagesARound messages before others have their turn, kMaxWaitingBytes of responses
// that it does not read (then it is closed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/rpc/dispatcher.hpp"
#include "ports/event_loop.hpp"

namespace sluice::control {

class RpcConnection : public std::enable_shared_from_this<RpcConnection> {
 public:
  static constexpr std::size_t kMaxInFlight = 64;
  static constexpr std::size_t kMessagesARound = 16;
  static constexpr std::size_t kMaxWaitingBytes = 16 << 20;

  /// Owns `fd`, which is non-blocking. `closed` is called once, when nothing is left to do for the client; not by
  /// the destructor.
  RpcConnection(ports::EventLoop& loop, const RpcDispatcher& dispatcher, int fd, std::function<void()> closed);
  ~RpcConnection();
  RpcConnection(const RpcConnection&) = delete;
  RpcConnection& operator=(const RpcConnection&) = delete;

  void start();

 private:
  void on_ready(std::uint32_t events);
  bool read_some();
  void write_some();
  void proceed();
  bool handle_next();
  void answer(const std::string& line);
  void refuse_too_long();
  void hang_up();

  ports::EventLoop& loop_;
  const RpcDispatcher& dispatcher_;
  int fd_;
  std::function<void()> closed_;

  std::string in_;
  std::size_t handled_ = 0;  ///< bytes of in_ whose messages have been taken
  std::size_t scanned_ = 0;  ///< bytes of in_ known to hold no '\n' beyond handled_
  std::string out_;
  std::size_t sent_ = 0;  ///< bytes of out_ that are gone
  std::size_t in_flight_ = 0;
  std::uint32_t watched_ = 0;  ///< events; meaningful while !hung_up_
  bool end_of_input_ = false;  ///< nothing more is read: the client said so, or broke the rules
  bool hung_up_ = false;       ///< nobody reads responses any more
  bool handling_ = false;      ///< in proceed(): answers that come at once are not to call it again
  bool turn_posted_ = false;
  bool reported_ = false;  ///< closed_ has been called
};

}  // namespace sluice::control
