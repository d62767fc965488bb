// A guest's memory, as a worker takes it up while another still serves it.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "ports/vhost/mapping.hpp"

namespace sluice::test {
namespace {

using ports::UniqueFd;
using ports::vhost::Mapping;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kUsed = 512;  ///< pages, of each used part
constexpr std::size_t kSize = std::size_t{64} << 20U;

long faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST(TouchedMemory, is_all_that_the_guest_has_used_and_no_page_more) {
  UniqueFd guest(::memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(guest.get(), kSize), 0);
  const std::vector<std::size_t> used{0, kSize / 2};  // where parts begin
  const std::vector<char> data(kUsed * kPage, 'x');
  for (const std::size_t at : used)
    ASSERT_GT(::pwrite(guest.get(), data.data(), data.size(), static_cast<off_t>(at)), 0);
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(::fstat(guest.get(), &before), 0);
  const int fd = guest.get();
  const auto mapping = Mapping::map(UniqueFd(::dup(fd)), kPage, kSize - kPage);
  ASSERT_TRUE(mapping) << mapping.error();
  (*mapping)->touch();
  ASSERT_EQ(::fstat(fd, &after), 0);
  EXPECT_EQ(after.st_blocks, before.st_blocks) << "pages were made that the guest does not use";

  const long begin = faults();
  for (const std::size_t at : used) {
    for (std::size_t i = 1; i < kUsed; ++i) (*mapping)->data()[at + (i - 1) * kPage] = 1;
  }
  // The address sanitizer has a page of its own for each eight, which is new.
  EXPECT_LT(faults() - begin, static_cast<long>(2 * kUsed / 4)) << "of " << 2 * kUsed << " pages";
}

TEST(TouchedMemory, that_was_cut_off_is_left_to_who_uses_it) {
  UniqueFd guest(::memfd_create("guest", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(guest.get(), kSize), 0);
  const auto mapping = Mapping::map(UniqueFd(::dup(guest.get())), 0, kSize);
  ASSERT_TRUE(mapping) << mapping.error();
  ASSERT_EQ(::ftruncate(guest.get(), kPage), 0);
  ASSERT_EQ(::pwrite(guest.get(), "x", 1, 0), 1);
  (*mapping)->touch();
  EXPECT_FALSE((*mapping)->lost());
}

}  // namespace
}  // namespace sluice::test
