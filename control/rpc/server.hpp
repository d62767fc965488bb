// RpcServer: the control socket: takes clients, gives each an RpcConnection. Control thread; one event loop for all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/error.hpp"
#include "control/rpc/connection.hpp"
#include "control/rpc/dispatcher.hpp"
#include "control/rpc/listener.hpp"
#include "ports/event_loop.hpp"

namespace sluice::control {

class RpcServer {
 public:
  static constexpr std::size_t kMaxClients = 64;

  /// `loop` outlives the server; methods may answer after it has gone.
  RpcServer(ports::EventLoop& loop, ListeningSocket socket, std::vector<RpcMethod> methods);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  [[nodiscard]] std::size_t clients() const { return connections_.size(); }

 private:
  void watch();
  void accept_one();

  ports::EventLoop& loop_;
  ListeningSocket socket_;
  RpcDispatcher dispatcher_;
  std::unordered_map<std::uint64_t, std::shared_ptr<RpcConnection>> connections_;
  std::uint64_t next_id_ = 0;
  ports::EventLoop::TimerId pause_ = 0;  ///< no descriptors were left: accepting again when it fires
};

}  // namespace sluice::control
