// Connection: one front end's socket. Frames the stream into messages with their file descriptors, sends replies.
//
// A message stays in the socket until it has been handled and answered: it is looked at (MSG_PEEK), handled, and only
// then taken out. So a successor of a process that was killed finds it there, whole, half come or not at all, and
// handles it, once more if need be.
//
// Control thread; never blocks and never waits for the peer: a message that is not complete by its deadline and a reply
// that does not fit into the socket's buffer end the connection. Owns the socket and what was seen and not yet handed
// on.
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
    /// True: the message was handled, and now it is answered and taken out of the socket, which nobody could do again.
    /// False: it has been.
    std::function<void(bool)> settling = [](bool) {};
  };

  /// `socket` is a connected non-blocking stream socket. `loop` outlives the connection.
  Connection(UniqueFd socket, EventLoop& loop, std::chrono::milliseconds deadline, Handlers handlers);
  /// Leaves the socket as it is, if somebody else has it still.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Handles no message any more, until go_on(): they stay in the socket.
  void pause();
  void go_on();
  /// Handles what has come already, without waiting for the loop. May destroy the connection.
  void handle_waiting() { on_readable(); }
  /// The peer sees the connection closed, whoever else holds the socket.
  void shut_down() const;
  /// Whether the peer has closed it, which `ended` may be still to tell.
  [[nodiscard]] bool closed_by_peer() const;
  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  enum class Step : std::uint8_t { again, wait, ended };

  void on_readable();
  Step look();
  Step look_at_header();
  Step look_at_rest();
  Step half_a_message(std::ptrdiff_t received, std::size_t seen);
  Step take_message();
  [[nodiscard]] bool take_out(std::size_t bytes);
  Step end(const std::string& reason);
  [[nodiscard]] std::ptrdiff_t peek(std::size_t offset, std::size_t size, msghdr& message, std::size_t beyond = 0);
  static std::vector<UniqueFd> fds_of(const msghdr& message);
  void collect_fds(std::vector<UniqueFd> found, bool cut_off);
  [[nodiscard]] std::size_t message_size() const;

  UniqueFd socket_;
  EventLoop& loop_;
  std::chrono::milliseconds deadline_;
  Handlers handlers_;
  EventLoop::TimerId timer_ = 0;  ///< runs while a message is begun and not complete

  alignas(8) std::array<std::uint8_t, sizeof(MessageHeader) + kMaxPayload> buffer_{};
  bool header_known_ = false;
  std::size_t seen_ = 0;    ///< bytes of a message that is not complete
  std::size_t filled_ = 0;  ///< bytes of the message that were looked at together with their fds
  unsigned pieces_ = 0;     ///< in how many
  std::vector<UniqueFd> fds_;
  bool too_many_fds_ = false;
};

}  // namespace sluice::ports::vhost
