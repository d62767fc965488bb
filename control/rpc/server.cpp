// RpcServer. See server.hpp.
#include "control/rpc/server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace sluice::control {

RpcServer::RpcServer(ports::EventLoop& loop, ListeningSocket socket, std::vector<RpcMethod> methods)
    : loop_(loop), socket_(std::move(socket)), dispatcher_(std::move(methods)) {
  watch();
}

RpcServer::~RpcServer() {
  if (pause_ != 0) {
    loop_.cancel(pause_);
  } else {
    loop_.unwatch(socket_.fd());
  }
}

void RpcServer::watch() {
  loop_.watch(socket_.fd(), EPOLLIN, [this](std::uint32_t) { accept_one(); });
}

void RpcServer::accept_one() {
  const int fd = ::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    spdlog::warn("control socket '{}': a client cannot be accepted: {}; again in a second", socket_.path(),
                 std::strerror(errno));
    // The client stays in the backlog: watched on, the loop would spin.
    loop_.unwatch(socket_.fd());
    pause_ = loop_.after(std::chrono::seconds(1), [this] {
      pause_ = 0;
      watch();
    });
    return;
  }
  if (connections_.size() >= kMaxClients) {
    const std::string line =
        to_line(error_response(
            nullptr, {RpcCode::failed, fmt::format("{} clients are connected, the most there may be", kMaxClients)})) +
        "\n";
    // Into an empty socket buffer: it fits, and if it does not, the client sees the end all the same.
    [[maybe_unused]] const ssize_t sent = ::send(fd, line.data(), line.size(), MSG_NOSIGNAL);
    ::close(fd);
    return;
  }
  const std::uint64_t id = next_id_++;
  // Whatever calls into a connection holds it, so that it outlives this.
  auto closed = [this, id] { connections_.erase(id); };
  auto connection = std::make_shared<RpcConnection>(loop_, dispatcher_, fd, std::move(closed));
  connections_.emplace(id, connection);
  connection->start();
}

}  // namespace sluice::control
