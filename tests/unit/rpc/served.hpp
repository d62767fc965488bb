// An RpcServer over made-up methods, its loop in a thread, and raw clients: what a test of the socket needs.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "control/rpc/server.hpp"
#include "ports/event_loop.hpp"
#include "tests/unit/temporary_directory.hpp"

namespace sluice::control {

/// A client that sends what it likes. Every wait has an end.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), in_(std::move(other.in_)) {}
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_; }

  /// False if the server hung up meanwhile.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void send_end() const { ::shutdown(fd_, SHUT_WR); }

  /// The next line, or nothing at the end of the stream.
  std::optional<std::string> line() {
    for (std::size_t at; (at = in_.find('\n')) == std::string::npos;) {
      pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 20'000) <= 0) {
        ADD_FAILURE() << "no answer, and no end";
        return std::nullopt;
      }
      std::string buffer(256 << 10, '\0');
      const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (n <= 0) return std::nullopt;
      in_.append(buffer, 0, static_cast<std::size_t>(n));
    }
    const std::size_t end = in_.find('\n');
    std::string line = in_.substr(0, end);
    in_.erase(0, end + 1);
    return line;
  }
  Json json() {
    const auto text = line();
    return text ? Json::parse(*text) : Json();
  }
  Json ask(std::string_view request) {
    send(request);
    send("\n");
    return json();
  }

 private:
  int fd_;
  bool connected_ = false;
  std::string in_;
};

class Served : public ::testing::Test {
 protected:
  void SetUp() override {
    auto socket = ListeningSocket::open(path_);
    ASSERT_TRUE(socket) << socket.error().message;
    server_ = std::make_unique<RpcServer>(loop_, std::move(*socket), methods());
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  std::vector<RpcMethod> methods() {
    using Type = RpcParam::Type;
    return {{"echo",
             "says it again",
             {{"text", Type::text, true, "what to say"}, {"n", Type::count, false, "unused", 9}},
             [](const Json& params, const RpcReply& reply) { reply(params); }},
            {"later",
             "answers later",
             {},
             [this](const Json&, const RpcReply& reply) {
               loop_.after(std::chrono::milliseconds(1), [reply] { reply(Json("later")); });
             }},
            {"held",
             "answers when released",
             {},
             [this](const Json&, const RpcReply& reply) {
               held_.push_back(reply);
               ++calls_;
             }},
            {"release",
             "answers the held",
             {},
             [this](const Json&, const RpcReply& reply) {
               for (const auto& one : std::exchange(held_, {})) one(Json("held"));
               reply(Json("released"));
             }},
            {"big",
             "answers so many bytes",
             {{"bytes", Type::count, true, "how many", 64 << 20}},
             [](const Json& params, const RpcReply& reply) { reply(Json(std::string(params["bytes"], 'x'))); }},
            {"count",
             "counts its calls",
             {},
             [this](const Json&, const RpcReply& reply) {
               ++calls_;
               reply(Json(calls_.load()));
             }},
            {"fail", "fails", {}, [](const Json&, const RpcReply& reply) {
               reply(tl::make_unexpected(Error{"port 'vm9' is not there"}));
             }}};
  }

  RawClient client() { return RawClient(path_); }
  /// Waits for the calls of `held` and `count` to become so many.
  void wait_for_calls(int n) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (calls_ < n && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(calls_, n);
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "control.sock";
  ports::EventLoop loop_;
  std::atomic<int> calls_ = 0;
  std::vector<RpcReply> held_;  // the loop's thread alone
  std::unique_ptr<RpcServer> server_;
  std::thread thread_;
};

}  // namespace sluice::control
