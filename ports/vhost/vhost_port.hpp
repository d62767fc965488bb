// VhostPort: a vhost-user port of the switch: one Device, its socket as server or client, and the one connection.
//
// Control thread; PMDs see its queues only. Whatever the front end does wrong costs this port its connection, with one
// line in the log that says why, and nobody else anything.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/event_loop.hpp"
#include "ports/port.hpp"
#include "ports/vhost/connection.hpp"
#include "ports/vhost/device.hpp"
#include "ports/vhost/estate.hpp"
#include "ports/vhost/hold_off.hpp"
#include "ports/vhost/path_watch.hpp"
#include "ports/vhost/unix_socket.hpp"

namespace sluice::ports::vhost {

enum class SocketMode : std::uint8_t {
  server,  ///< we make the socket; the front end connects, and again after each of its restarts
  client,  ///< the front end makes the socket; we connect as soon as it is there, and again whenever it comes back
};

struct VhostPortOptions {
  std::string name;
  std::string path;
  SocketMode mode = SocketMode::server;
  unsigned queue_pairs = 1;                          ///< 1 to 128
  std::uint32_t mtu = 1500;                          ///< 68 to 65535
  std::uint32_t queue_size = kMaxRingSize;           ///< the largest ring that a guest may set up
  mode_t socket_permissions = 0660;                  ///< of a server's socket: QEMU often runs as another user
  std::chrono::milliseconds message_deadline{1000};  ///< for the rest of a message that has begun
  bool has_time = false;                             ///< to prepare itself: another process serves the guest meanwhile
  /// Nobody else can have the port: a listening socket that was left serves, though its file is gone and no other can
  /// be.
  bool has_to_go_on = false;
};

/// At most so many in a row, then a few a second: a peer must not fill the disk through the log, nor keep the slow path
/// busy with announcements.
class RateLimiter {
 public:
  /// Whether there may be one now; if so, how many were refused since the last one.
  [[nodiscard]] std::optional<std::uint64_t> allow();

 private:
  static constexpr double kBurst = 20;
  static constexpr double kASecond = 2;

  double tokens_ = kBurst;
  std::uint64_t refused_ = 0;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

class VhostPort final : public Port {
 public:
  using Result = tl::expected<std::unique_ptr<VhostPort>, std::string>;

  /// A port that is neither a successor nor will have one. Listens, or starts to look for the socket. The error names
  /// the port and what would be right.
  [[nodiscard]] static Result create(const VhostPortOptions& options, const PortHost& host);

  // A port with an estate is made in two steps, so that a successor can get ready while its predecessor still runs.

  /// Does what takes time, and changes nothing that the predecessor or the front end would notice.
  [[nodiscard]] static Result prepare(const VhostPortOptions& options, const PortHost& host, Estate& estate);
  /// The predecessor, if there is one, has ended or has left: takes the port up as it is by now. The queues are there
  /// when this returns, and no PMD polls them before. What the estate has of another port, by socket or mode, is given
  /// up. Whatever is wrong with a connection costs that connection.
  void activate() override;
  void prepare_again() override;
  void wake_guest() override { device_.interrupt_resumed(); }
  /// For a successor: touches nothing any more from here on, not even when it is destroyed. PMDs must have stopped.
  void leave() override;
  /// There will be no successor, as none has been activated: goes on.
  void stay() override;
  /// Gives up the estate of a port that is not to be any more: connection closed, socket removed, all forgotten.
  static void abandon(Estate& estate);

  /// Ends in order, unless it has left: rings stay where they are, the connection is closed, the socket removed.
  ~VhostPort() override;

  [[nodiscard]] std::vector<RxQueue> rx_queues() override;
  [[nodiscard]] std::vector<TxQueue> tx_queues() override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] int numa_node() const override;

 private:
  VhostPort(VhostPortOptions options, PortHost host, Estate& estate, UniqueFd alarm);

  // Of a successor: succession.cpp
  [[nodiscard]] bool known() const;
  [[nodiscard]] std::optional<ListenSocket> inherited_listener();
  [[nodiscard]] tl::expected<void, std::string> open_listener();
  void prepare_connection(unsigned died);
  void begin_state();
  void take_up();
  [[nodiscard]] std::string take_up_connection(unsigned died);
  void serve();
  void stop_serving();

  void watch_listener();
  void accept_all();
  void try_to_connect();
  void retry_later();
  void connected(UniqueFd socket);
  void talk(UniqueFd socket);
  void close_connection();
  void connection_ended(const std::string& reason);
  void answer_alarm();
  [[nodiscard]] std::string hold_off();
  [[nodiscard]] bool held_off() const;
  void log(Severity severity, const std::string& text);
  [[nodiscard]] std::string describe_rings() const;

  VhostPortOptions options_;
  PortHost host_;
  RateLimiter lines_;
  RateLimiter debug_lines_;
  RateLimiter announcements_;
  std::unique_ptr<Estate> own_estate_;  ///< of a port without a successor
  Estate& estate_;
  UniqueFd alarm_;  ///< eventfd: memory was cut off, or a PMD was held up
  Device device_;
  std::unique_ptr<Connection> connection_;

  std::optional<ListenSocket> listener_;  ///< server
  std::unique_ptr<PathWatch> watch_;      ///< client
  EventLoop::TimerId timer_ = 0;          ///< client: the next attempt; server: accepting again
  EventLoop::TimerId settle_timer_ = 0;   ///< for what there was no time for when the port was taken up
  unsigned attempts_ = 0;                 ///< since there was last reason to hope
  bool misbehaved_ = false;               ///< the last connection was closed by us
  HoldOff hold_off_;                      ///< of a front end that held up a PMD

  enum class Stage : std::uint8_t { prepared, active, left };
  Stage stage_ = Stage::prepared;
  UniqueFd inherited_;                                        ///< the predecessor's connection
  std::uint64_t prepared_for_ = 0;                            ///< generation of the state
  std::optional<tl::expected<void, std::string>> readiness_;  ///< of what was prepared; nothing: look at the state anew
};

}  // namespace sluice::ports::vhost
