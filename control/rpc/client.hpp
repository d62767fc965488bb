// RpcClient: the other end of the control socket, for the command line. Blocks, with a deadline; one call at a time.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "control/error.hpp"
#include "control/rpc/protocol.hpp"

namespace sluice::control {

class RpcClient {
 public:
  [[nodiscard]] static Expected<RpcClient> connect(const std::string& path);

  RpcClient(RpcClient&& other) noexcept;
  RpcClient& operator=(RpcClient&&) = delete;
  ~RpcClient();

  /// The method's result, or in words why there is none: what the switch said, or that it said nothing in `deadline`.
  /// A signal that interrupts the waiting ends it with an error.
  [[nodiscard]] Expected<Json> call(std::string_view method, const Json& params,
                                    std::chrono::milliseconds deadline = std::chrono::seconds(30));

 private:
  RpcClient(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  [[nodiscard]] Expected<void> send_line(const std::string& line) const;
  [[nodiscard]] Expected<std::string> read_line(std::chrono::milliseconds deadline);

  int fd_;
  std::string path_;
  std::string in_;
  int next_id_ = 1;
};

}  // namespace sluice::control
