// Connection: one front end's socket. Frames the stream into messages with their file descriptors, sends replies.
//
// Control thread; never blocks and never waits for the peer: a message that is not complete by its deadline and a reply
// that does not fit into the socket's buffer end the connection. Owns the socket and what was received and not yet
// handed on.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ports/event_loop.hpp"
#include "ports/unique_fd.hpp"
#include "ports/vhost/device.hpp"

struct msghdr;

namespace sluice::ports::vhost {

class Connection {
 public:
  struct Handlers {
    std::function<Outcome(Message)> message;
    /// Called at most once, with why the connection cannot go on; empty: the peer has closed it, all being well.
    /// May destroy the connection.
    std::function<void(const std::string& reason)> ended;
  };

  /// `socket` is a connected non-blocking stream socket. `loop` outlives the connection.
  Connection(UniqueFd socket, EventLoop& loop, std::chrono::milliseconds deadline, Handlers handlers);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Whether the peer has closed it, which `ended` may be still to tell.
  [[nodiscard]] bool closed_by_peer() const;

 private:
  enum class Step : std::uint8_t { again, wait, ended };

  void on_readable();
  Step receive();
  Step on_bytes();
  Step take_message();
  Step end(const std::string& reason);
  void collect_fds(const msghdr& message);
  [[nodiscard]] std::size_t expected_size() const;

  UniqueFd socket_;
  EventLoop& loop_;
  std::chrono::milliseconds deadline_;
  Handlers handlers_;
  EventLoop::TimerId timer_ = 0;  ///< runs while a message is begun and not complete

  alignas(8) std::array<std::uint8_t, sizeof(MessageHeader) + kMaxPayload> buffer_{};
  std::size_t filled_ = 0;
  std::vector<UniqueFd> fds_;
  bool too_many_fds_ = false;
};

}  // namespace sluice::ports::vhost
