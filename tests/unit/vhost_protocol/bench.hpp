// The switch's side in protocol tests: a loop, a log that is kept, ports, and counts of what could leak.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "front_end.hpp"
#include "ports/event_loop.hpp"
#include "ports/vhost/vhost_port.hpp"

namespace sluice::test {

/// File descriptors and mappings of guest memory of this process.
struct Held {
  std::size_t fds = 0;
  std::size_t mappings = 0;

  static Held now() {
    Held held;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++held.fds;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) held.mappings += line.find("memfd:guest-ram") != line.npos;
    return held;
  }
  friend bool operator==(const Held&, const Held&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Held& held) {
    return out << held.fds << " fds, " << held.mappings << " mappings";
  }
};

class Bench : public testing::Test {
 protected:
  using Port = ports::vhost::VhostPort;
  using Options = ports::vhost::VhostPortOptions;

  Bench() {
    std::string pattern = testing::TempDir() + "sluice-vhost-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    host_.loop = &loop_;
    host_.wait_for_pmds = [this] {
      ++waits_;
      if (on_wait) on_wait();
    };
    host_.log = [this](ports::Severity severity, const std::string& text) {
      lines_.push_back(text);
      if (severity == ports::Severity::error) errors_.push_back(text);
    };
  }
  ~Bench() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] Options options(const std::string& name, ports::vhost::SocketMode mode) const {
    Options o;
    o.name = name;
    o.path = path(name + ".sock");
    o.mode = mode;
    o.queue_pairs = 2;
    return o;
  }
  std::unique_ptr<Port> make(const Options& o) {
    auto port = Port::create(o, host_);
    EXPECT_TRUE(port) << port.error();
    return port ? std::move(*port) : nullptr;
  }
  std::unique_ptr<Port> server(const std::string& name) {
    return make(options(name, ports::vhost::SocketMode::server));
  }
  FrontEnd::Pump pump() {
    return [this] { loop_.run_once(std::chrono::milliseconds(1)); };
  }
  FrontEnd connect(const std::string& name) { return FrontEnd::connect(path(name + ".sock"), pump()); }
  template <typename Condition>
  bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.run_once(std::chrono::milliseconds(1));
    }
    return true;
  }
  static UniqueFd event() { return UniqueFd(::eventfd(0, EFD_CLOEXEC)); }

  ports::EventLoop loop_;
  ports::PortHost host_;
  std::function<void()> on_wait;
  unsigned waits_ = 0;
  std::vector<std::string> lines_;
  std::vector<std::string> errors_;
  std::string directory_;
};

}  // namespace sluice::test
