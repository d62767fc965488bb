// Fuzzer of the vhost-user protocol: bytes become a sequence of messages with fds of every kind, for one Device.
// Nothing may crash or leak: after each sequence no file descriptor and no ring is left.
//
// A sequence is a list of: message number, flags, number of fds, kinds of fds, payload length, payload. Addresses and
// sizes of the payload are drawn towards values that mean something, or hardly any ring would ever start.
#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ports/vhost/device.hpp"
#include "ports/vhost/local_estate.hpp"

namespace {

using namespace sluice::ports;
using namespace sluice::ports::vhost;

constexpr std::size_t kRamSize = 1U << 18U;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  [[nodiscard]] bool empty() const { return at_ == size_; }
  std::uint8_t next() { return empty() ? std::uint8_t{0} : data_[at_++]; }
  void fill(std::uint8_t* to, std::size_t n) {
    n = std::min(n, size_ - at_);
    if (n != 0) std::memcpy(to, data_ + at_, n);  // an empty payload has no address
    at_ += n;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

/// The memory that messages share; made once, and never cut off.
int ram() {
  static const int fd = [] {
    const int made = ::memfd_create("fuzz-ram", MFD_CLOEXEC);
    if (::ftruncate(made, kRamSize) != 0) std::abort();
    return made;
  }();
  return fd;
}

UniqueFd any_fd(std::uint8_t kind) {
  switch (kind % 4) {
    case 0: return UniqueFd(::eventfd(0, EFD_CLOEXEC));
    case 1: return UniqueFd(::fcntl(ram(), F_DUPFD_CLOEXEC, 0));
    case 2: return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    default: return UniqueFd(::memfd_create("fuzz-empty", MFD_CLOEXEC));
  }
}

std::vector<std::uint8_t> payload_of(Bytes& bytes, std::uint32_t request) {
  const MessageShape* const shape = shape_of(request);
  const std::uint8_t choice = bytes.next();
  std::size_t size = choice;  // mostly wrong
  if (shape != nullptr && (choice & 1U) == 0) {
    size = shape->max_size;
    if (shape->request == Request::set_mem_table) size = 8 + 32 * ((choice >> 1U) % 9U);
  }
  std::vector<std::uint8_t> payload(size);
  bytes.fill(payload.data(), payload.size());
  return payload;
}

/// Replaces words that have some high bits set by addresses near the start of memory: user and guest addresses are
/// the same here.
void draw_towards_memory(std::vector<std::uint8_t>& payload) {
  for (std::size_t at = 0; at + 8 <= payload.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, payload.data() + at, sizeof word);
    if ((word >> 60U) != 5) continue;
    word = (word & 0x3f) << 12U;
    std::memcpy(payload.data() + at, &word, sizeof word);
  }
}

std::size_t open_fds() {
  std::size_t count = 0;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) std::abort();
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ram();
  const std::size_t fds_before = open_fds();
  {
    static LocalEstate estate;
    Device device({2, 1500, -1}, {[] {}, [] {}, {}, [](Severity, const std::string&) {}}, estate);
    Bytes bytes(data, size);
    while (!bytes.empty()) {
      const std::uint32_t request = bytes.next() % 48U;
      const std::uint8_t flags = bytes.next();
      const std::uint8_t fd_bits = bytes.next();
      Message message;
      const std::vector<std::uint8_t> payload = [&] {
        auto p = payload_of(bytes, request);
        draw_towards_memory(p);
        return p;
      }();
      message.header = {request, (flags & 0xf0U) == 0 ? flags : 1U | (flags & 8U),
                        static_cast<std::uint32_t>(payload.size())};
      message.payload = payload;
      for (unsigned i = 0; i < fd_bits % 9U; ++i) {
        message.fds.push_back(any_fd(static_cast<std::uint8_t>((fd_bits >> 4U) + ((i & flags) != 0 ? i : 0))));
      }
      const Outcome outcome = device.handle(std::move(message));
      if (!outcome.error.empty() && (flags & 0x20U) != 0) device.reset();
    }
    device.reset();
    if (!device.rx_queues().empty() || !device.tx_queues().empty()) std::abort();
  }
  if (open_fds() != fds_before) std::abort();
  return 0;
}
