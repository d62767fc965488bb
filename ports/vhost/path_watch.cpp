#include "ports/vhost/path_watch.hpp"

#include <sys/epoll.h>
#include <sys/inotify.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sluice::ports::vhost {

PathWatch::PathWatch(EventLoop& loop, const std::string& path, std::function<void()> appeared)
    : loop_(loop), appeared_(std::move(appeared)), inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  std::error_code error;
  path_ = std::filesystem::absolute(path, error).lexically_normal().string();
  if (!inotify_) return;
  arm();
  go_on();
}

PathWatch::~PathWatch() { pause(); }

void PathWatch::pause() {
  if (inotify_) loop_.unwatch(inotify_.get());
}

void PathWatch::go_on() {
  if (inotify_) loop_.watch(inotify_.get(), EPOLLIN, [this](std::uint32_t) { on_events(); });
}

void PathWatch::arm() {
  // IN_ATTRIB: a socket that was there may have become ours to open.
  constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  // Twice if need be: the directory that is awaited may be made while the watch above it is being set. What is made
  // after that raises an event.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (watch_ >= 0) ::inotify_rm_watch(inotify_.get(), std::exchange(watch_, -1));
    std::filesystem::path directory(path_);
    do {
      awaited_ = directory.filename().string();
      directory = directory.parent_path();
      watch_ = ::inotify_add_watch(inotify_.get(), directory.c_str(), kMask);
    } while (watch_ < 0 && directory.has_relative_path());
    const auto next = directory / awaited_;
    at_the_end_ = next == path_;
    std::error_code error;
    if (at_the_end_ || !std::filesystem::is_directory(next, error)) return;
  }
}

void PathWatch::on_events() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool awaited_came = false;
  bool directory_changed = false;
  // One buffer a round; if there is more, the loop comes back.
  const ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
  for (const char* at = buffer.data(); at < buffer.data() + n;) {
    inotify_event event;
    std::memcpy(&event, at, sizeof event);
    const char* const name = at + sizeof event;
    at += sizeof event + event.len;
    if ((event.mask & IN_Q_OVERFLOW) != 0) awaited_came = directory_changed = true;
    if (event.wd != watch_) continue;  // of a watch that is gone
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
      directory_changed = true;
    } else if (event.len != 0 && awaited_ == name) {
      awaited_came = true;
    }
  }
  if (!awaited_came && !directory_changed) return;
  if (directory_changed || !at_the_end_) arm();
  appeared_();  // may destroy this
}

}  // namespace sluice::ports::vhost
