// The control socket's file: whose it is, and who may have it.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include <gmock/gmock.h>

#include "tests/unit/rpc/served.hpp"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

TEST(ListeningSocketTest, the_socket_is_for_its_owner_alone_whatever_the_umask) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(0);
  const auto socket = ListeningSocket::open(directory / "s");
  ::umask(before);
  ASSERT_TRUE(socket);
  EXPECT_EQ(mode_of(directory / "s"), 0600U);
}

TEST(ListeningSocketTest, a_missing_directory_is_made) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(022);
  const auto socket = ListeningSocket::open(directory / "run/s");
  ::umask(before);
  ASSERT_TRUE(socket) << socket.error().message;
  EXPECT_EQ(mode_of(directory / "run"), 0755U);
  EXPECT_EQ(ListeningSocket::open(directory / "a/b/s").error().message.substr(0, 14), "control socket");
}

TEST(ListeningSocketTest, a_left_over_socket_is_replaced) {
  const TemporaryDirectory directory;
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (directory / "s").copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
  }
  ASSERT_TRUE(std::filesystem::exists(directory / "s"));
  const auto socket = ListeningSocket::open(directory / "s");
  ASSERT_TRUE(socket) << socket.error().message;
  EXPECT_TRUE(RawClient(directory / "s").connected());
}

TEST(ListeningSocketTest, a_live_socket_is_left_alone) {
  const TemporaryDirectory directory;
  const auto first = ListeningSocket::open(directory / "s");
  const auto second = ListeningSocket::open(directory / "s");
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("another sluice listens on '" + directory / "s"));
  EXPECT_TRUE(RawClient(directory / "s").connected());
}

TEST(ListeningSocketTest, a_file_that_is_no_socket_is_left_alone) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "s") << "precious";
  const auto socket = ListeningSocket::open(directory / "s");
  ASSERT_FALSE(socket);
  EXPECT_THAT(socket.error().message, HasSubstr("no socket"));
  EXPECT_EQ(std::filesystem::file_size(directory / "s"), 8U);
}

TEST(ListeningSocketTest, the_file_goes_with_the_socket_and_nobody_elses_does) {
  const TemporaryDirectory directory;
  { const auto socket = ListeningSocket::open(directory / "s"); }
  EXPECT_FALSE(std::filesystem::exists(directory / "s"));

  auto first = ListeningSocket::open(directory / "s");
  std::optional<ListeningSocket> owner(std::move(*first));
  std::filesystem::rename(directory / "s", directory / "moved");  // else its inode's number may be used again
  const auto second = ListeningSocket::open(directory / "s");
  ASSERT_TRUE(second);
  owner.reset();
  EXPECT_TRUE(RawClient(directory / "s").connected());
}

TEST(ListeningSocketTest, a_path_too_long_is_refused_with_the_limit) {
  const auto socket = ListeningSocket::open("/tmp/" + std::string(200, 'x'));
  ASSERT_FALSE(socket);
  EXPECT_THAT(socket.error().message, HasSubstr("205 bytes long, a UNIX socket path holds 1 to 107"));
}

}  // namespace
}  // namespace sluice::control
