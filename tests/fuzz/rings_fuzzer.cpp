// Two guests that write anything at all into their rings, the one a transmit and the other a receive ring, split or
// packed; frames are taken from the one and put into the other for a few rounds. Nothing may be
// read or written outside of the guest's memory, and no round may fail to end.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "ports/vhost/notify.hpp"
#include "ports/vhost/vhost_queue.hpp"

namespace {

using namespace sluice::ports;
using namespace sluice::ports::vhost;

constexpr std::uint64_t kBase = 0x10000;
constexpr std::uint32_t kSize = 1U << 16U;

/// One guest for the whole run: memory is zeroed before each input.
struct Guest {
  Guest() {
    fd = ::memfd_create("guest", MFD_CLOEXEC);
    if (::ftruncate(fd, kSize) != 0) std::abort();
    auto made = GuestMemory().with(MemoryRegion{kBase, kSize, kBase, 0}, ::dup(fd));
    if (!made) std::abort();
    memory = std::move(*made);
    bytes = memory.entries()[0].host;
  }
  int fd;
  GuestMemory memory;
  std::uint8_t* bytes;
};

struct Shape {
  std::uint8_t flags;
  std::uint8_t size_log2;
  std::uint16_t ring_at;
};

Vring vring_of(Guest& guest, const Shape& shape, RingProgress& progress) {
  Vring v;
  v.memory = &guest.memory;
  v.progress = &progress;
  v.enabled = true;
  v.packed = (shape.flags & 1U) != 0;
  v.mergeable = (shape.flags & 2U) != 0;
  v.indirect = (shape.flags & 4U) != 0;
  v.event_idx = (shape.flags & 8U) != 0;
  v.tx_csum = v.tx_tso4 = v.tx_tso6 = (shape.flags & 16U) != 0;
  v.net_header_size = (shape.flags & 32U) != 0 ? kLegacyNetHeaderSize : kNetHeaderSize;
  v.in_order = (shape.flags & 64U) != 0;
  v.size = 1U << (shape.size_log2 % 9U);
  if (v.packed && (shape.flags & 128U) != 0 && v.size > 1) --v.size;  // a packed ring's is any number
  // Rings lie anywhere that is aligned and inside, on top of each other and of buffers too.
  const std::uint64_t need = 32ULL * v.size + 64;
  std::uint8_t* at = guest.bytes + (shape.ring_at & ~15U) % (kSize - need);
  v.desc = reinterpret_cast<split::Desc*>(at);
  v.avail = reinterpret_cast<split::RingHeader*>(at + 16ULL * v.size);
  v.used = reinterpret_cast<split::RingHeader*>(at + 18ULL * v.size + 16);
  v.packed_desc = reinterpret_cast<packed::Desc*>(at);
  v.driver_event = reinterpret_cast<packed::EventSuppress*>(at + 16ULL * v.size);
  v.device_event = reinterpret_cast<packed::EventSuppress*>(at + 16ULL * v.size + 4);
  return v;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Guest sender;
  static Guest receiver;
  static const auto burst = std::make_unique<Burst>();
  std::array<Shape, 2> shapes{};
  if (size < sizeof shapes) return 0;
  std::memcpy(shapes.data(), data, sizeof shapes);
  data += sizeof shapes;
  size -= sizeof shapes;

  std::memset(sender.bytes, 0, kSize);
  std::memset(receiver.bytes, 0, kSize);
  RingProgress tx_progress;
  RingProgress rx_progress;
  const Vring tx = vring_of(sender, shapes[0], tx_progress);
  const Vring rx = vring_of(receiver, shapes[1], rx_progress);
  VhostQueue tx_queue;
  VhostQueue rx_queue;
  tx_queue.vring.store(const_cast<Vring*>(&tx));
  rx_queue.vring.store(const_cast<Vring*>(&rx));

  PortCounters in;
  PortCounters out;
  std::uint64_t received = 0;
  for (int round = 0; round < 4; ++round) {
    // What the guests write, in turn: runs of bytes, each with a place.
    for (unsigned runs = 0; runs < 16 && size >= 4; ++runs) {
      std::uint16_t place = 0;
      std::memcpy(&place, data, sizeof place);
      std::size_t length = data[2];
      data += 3;
      size -= 3;
      if (length > size) length = size;
      const std::size_t room = kSize - place;
      std::memcpy((runs % 2 != 0 ? receiver : sender).bytes + place, data, length < room ? length : room);
      data += length;
      size -= length;
    }
    Notifier notifier;
    receive(tx_queue, *burst, in);
    received += burst->count;
    std::array<Frame*, kBurstSize> frames{};
    for (unsigned i = 0; i < burst->count; ++i) {
      Frame& frame = burst->frames[i];
      std::uint64_t bytes = frame.head_size;
      for (unsigned s = 0; s < frame.rest_count; ++s) bytes += frame.rest[s].size;
      if (bytes != frame.size || frame.size > kMaxFrameSize) std::abort();
      frame.outputs = 1;
      frames[i] = &frame;
    }
    transmit(rx_queue, std::span(frames.data(), burst->count), out, notifier);
    release(tx_queue, *burst, notifier);
    notifier.notify();
    for (const Vring* vring : {&tx, &rx}) {
      const RingPosition& at = vring->progress->position;
      if (vring->packed && (at.next_avail >= vring->size || at.next_used >= vring->size)) std::abort();
    }
  }
  // No frame is lost without a count.
  std::uint64_t dropped_in = 0;
  std::uint64_t dropped_out = 0;
  for (const Counter& c : in.drops) dropped_in += c.get();
  for (const Counter& c : out.drops) dropped_out += c.get();
  if (in.rx_packets.get() != received + dropped_in) std::abort();
  if (received != out.tx_packets.get() + dropped_out) std::abort();
  return 0;
}
