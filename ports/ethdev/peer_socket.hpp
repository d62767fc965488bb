// PeerSocket: the UNIX socket by which a device meets the program on its other side (memif), and what drivers leave to
// be done about it. Control thread.
#pragma once

#include <string>

namespace sluice::ports::ethdev {

struct PeerSocket {
  std::string path;       ///< empty: the device has none
  bool connects = false;  ///< the device connects to it; else it listens there
};

/// Whether a program has the socket at `path` open. It does not notice that it was asked.
[[nodiscard]] bool is_served(const std::string& path);

/// Removes the file of a socket that no program has open, as one that was killed leaves behind. All else stays.
void remove_stale_socket(const std::string& path);

}  // namespace sluice::ports::ethdev
