// RpcClient. See client.hpp.
#include "control/rpc/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace sluice::control {
namespace {

tl::unexpected<Error> failed(std::string message) { return tl::make_unexpected(Error{std::move(message)}); }

std::string advice(int error) {
  if (error == ENOENT || error == ECONNREFUSED) return "; is 'sluice run' running? --socket PATH names another socket";
  if (error == EACCES) return "; the socket is for the user who runs the switch: try as root";
  return "";
}

}  // namespace

Expected<RpcClient> RpcClient::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return failed(fmt::format("socket '{}': the path is {} bytes long, a UNIX socket path holds 1 to {}", path,
                              path.size(), sizeof address.sun_path - 1));
  }
  path.copy(address.sun_path, path.size());
  RpcClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), path);
  if (client.fd_ < 0) return failed(fmt::format("no socket to be had: {}", std::strerror(errno)));
  if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    return failed(fmt::format("no switch answers at '{}': {}{}", path, std::strerror(error), advice(error)));
  }
  return client;
}

RpcClient::RpcClient(RpcClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      in_(std::move(other.in_)),
      next_id_(other.next_id_) {}

RpcClient::~RpcClient() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<Json> RpcClient::call(std::string_view method, const Json& params, std::chrono::milliseconds deadline) {
  const int id = next_id_++;
  const Json request{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}};
  // A server that is full says so and closes: what it said is worth more than that it took no request.
  const auto sent = send_line(to_line(request) + "\n");
  const auto line = read_line(deadline);
  if (!line) return tl::make_unexpected(sent ? line.error() : sent.error());

  Json response = Json::parse(*line, nullptr, false);
  if (response.is_discarded() || !response.is_object()) {
    return failed(fmt::format("what listens at '{}' does not speak JSON-RPC", path_));
  }
  if (const auto error = response.find("error"); error != response.end()) {
    const bool in_words = error->is_object() && error->contains("message") && (*error)["message"].is_string();
    return failed(in_words ? (*error)["message"].get<std::string>() : "refused, without a reason: " + to_line(*error));
  }
  if (response.value("id", Json()) != Json(id) || !response.contains("result")) {
    return failed(fmt::format("what listens at '{}' answers something that was not asked", path_));
  }
  return std::move(response["result"]);
}

Expected<void> RpcClient::send_line(const std::string& line) const {
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t n = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(fmt::format("the switch at '{}' takes no request: {}", path_, std::strerror(errno)));
    sent += static_cast<std::size_t>(n);
  }
  return {};
}

Expected<std::string> RpcClient::read_line(std::chrono::milliseconds deadline) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + deadline;
  std::size_t scanned = 0;
  for (;;) {
    if (const std::size_t at = in_.find('\n', scanned); at != std::string::npos) {
      std::string line = in_.substr(0, at);
      in_.erase(0, at + 1);
      return line;
    }
    scanned = in_.size();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    const int n = left.count() <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left.count()));
    if (n == 0) {
      return failed(fmt::format("the switch at '{}' did not answer within {} seconds", path_,
                                static_cast<double>(deadline.count()) / 1000));
    }
    if (n < 0) return failed(fmt::format("waiting for the switch at '{}': {}", path_, std::strerror(errno)));
    std::array<char, 64 << 10> buffer;
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got == 0) return failed(fmt::format("the switch at '{}' closed the connection", path_));
    if (got < 0) return failed(fmt::format("reading from the switch at '{}': {}", path_, std::strerror(errno)));
    in_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace sluice::control
