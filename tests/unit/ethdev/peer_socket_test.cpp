// Sockets by which a device meets its peer: who is there, and what a program that was killed has left.
#include "ports/ethdev/peer_socket.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "ports/unique_fd.hpp"

namespace sluice::test {
namespace {

using ports::UniqueFd;
using ports::ethdev::is_served;
using ports::ethdev::remove_stale_socket;

class PeerSocket : public testing::Test {
 protected:
  PeerSocket() { std::filesystem::remove(path_); }
  ~PeerSocket() override { std::filesystem::remove(path_); }

  /// A socket of the kind that memif uses, bound to the path.
  [[nodiscard]] UniqueFd bound() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  const std::string path_ = testing::TempDir() + "peer-" + std::to_string(::getpid());
};

TEST_F(PeerSocket, is_served_by_who_listens_and_that_one_does_not_notice) {
  EXPECT_FALSE(is_served(path_));
  {
    const UniqueFd fd = bound();
    ASSERT_EQ(::listen(fd.get(), 1), 0);
    EXPECT_TRUE(is_served(path_));
    EXPECT_EQ(::accept(fd.get(), nullptr, nullptr), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
  EXPECT_FALSE(is_served(path_));
}

TEST_F(PeerSocket, that_was_left_behind_is_removed_and_one_in_use_is_not) {
  {
    const UniqueFd fd = bound();
    remove_stale_socket(path_);
    EXPECT_TRUE(std::filesystem::exists(path_)) << "bound, and about to listen";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
  remove_stale_socket(path_);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PeerSocket, that_is_no_socket_stays) {
  std::ofstream(path_) << "a file of somebody's";
  remove_stale_socket(path_);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace sluice::test
