// PathWatch: tells when something may have appeared at a path, as soon as it does, by inotify. While the path's
// directory is missing, the deepest directory above it that is there is watched in its place.
//
// Control thread.
#pragma once

#include <functional>
#include <string>

#include "ports/event_loop.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::ports::vhost {

class PathWatch {
 public:
  /// Calls `appeared` from the loop; it may also be called for nothing.
  PathWatch(EventLoop& loop, const std::string& path, std::function<void()> appeared);
  ~PathWatch();
  PathWatch(const PathWatch&) = delete;
  PathWatch& operator=(const PathWatch&) = delete;

  /// Tells nothing until go_on(), which tells what has appeared meanwhile. The watch itself stays: to end one takes the
  /// kernel milliseconds.
  void pause();
  void go_on();

  /// False if the system has no inotify instances left: then nothing is told.
  [[nodiscard]] bool works() const { return static_cast<bool>(inotify_); }

 private:
  void arm();
  void on_events();

  EventLoop& loop_;
  std::string path_;  ///< absolute
  std::function<void()> appeared_;
  UniqueFd inotify_;
  int watch_ = -1;
  std::string awaited_;      ///< the name in the watched directory that leads to the path
  bool at_the_end_ = false;  ///< that name is the path's last part
};

}  // namespace sluice::ports::vhost
