// RpcDispatcher: from a line to the line that answers it: single requests, notifications, batches. Knows no sockets.
// Runs on the control thread; a method may answer later, on the same thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/rpc/method.hpp"

namespace sluice::control {

class RpcDispatcher {
 public:
  /// The answer without its '\n'; empty if nothing is to be answered (notifications).
  using Done = std::function<void(std::string line)>;

  /// Adds the method `help`, which answers the table.
  explicit RpcDispatcher(std::vector<RpcMethod> methods);

  /// Any bytes in. `done` is called exactly once, now or when the last of the methods asked for has answered;
  /// it may outlive the dispatcher.
  void handle(std::string_view line, Done done) const;

 private:
  struct Batch;
  void request(const Json& request, std::function<void(Json)> done) const;
  [[nodiscard]] const RpcMethod* find(const std::string& name) const;

  std::vector<RpcMethod> methods_;
};

}  // namespace sluice::control
