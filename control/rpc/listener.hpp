// ListeningSocket: a UNIX socket in the file system that listens, for its owner alone (mode 0600), and its removal.
#pragma once

#include <sys/types.h>

#include <string>

#include "control/error.hpp"
#include "ports/unique_fd.hpp"

namespace sluice::control {

/// Owns the descriptor and the file; both go with it.
class ListeningSocket {
 public:
  /// Makes the parent directory (0755) if it is missing. A socket file nobody listens on is replaced; one that
  /// somebody does is an error, and so is a file of another kind.
  [[nodiscard]] static Expected<ListeningSocket> open(const std::string& path);

  /// `fd`, a socket that listens already, if it does so at `path`, and is then its file's owner; else a new one.
  [[nodiscard]] static Expected<ListeningSocket> open_or_adopt(ports::UniqueFd fd, const std::string& path);
  /// The file stays when this goes.
  void leave_file() { inode_ = 0; }
  /// One whose file is another's to remove.
  [[nodiscard]] static ListeningSocket borrowed(ports::UniqueFd fd);

  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  /// Non-blocking, close-on-exec.
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  ListeningSocket(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
  dev_t device_ = 0;  ///< of the file that was made: one that another put in its place is not removed
  ino_t inode_ = 0;
};

}  // namespace sluice::control
