// Every message that is wrong costs the port that got it its connection, with a line that says why, and nothing else:
// another port's connection goes on, and file descriptors and mappings are as before.
#include <fcntl.h>
#include <sys/stat.h>

#include "bench.hpp"
#include "ports/vhost/virtio.hpp"

namespace sluice::test {
namespace {

using ports::vhost::VringState;
namespace feature = ports::vhost::feature;
namespace protocol_feature = ports::vhost::protocol_feature;

constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1 | feature::kMrgRxbuf;
constexpr std::uint64_t kProtocol = protocol_feature::kMq | protocol_feature::kReplyAck | protocol_feature::kLogShmfd |
                                    protocol_feature::kRarp | protocol_feature::kConfigureMemSlots |
                                    protocol_feature::kNetMtu | protocol_feature::kStatus;
constexpr std::size_t kRamSize = 1U << 20U;

/// What a bad message may need.
struct Scene {
  FrontEnd& peer;
  GuestRam& ram;
  int event;
  int pipe;
  void* unused = nullptr;

  void running_ring(std::uint32_t index = 0) const {
    peer.negotiate(kFeatures, kProtocol);
    peer.send_memory(ram);
    peer.start_ring(ram, index, 256, 0, event, event);
  }
  void negotiated() const { peer.negotiate(kFeatures, kProtocol); }
};

struct Bad {
  const char* name;
  const char* says;  ///< part of the line in the log
  std::function<void(const Scene&)> act;
};

void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }

MemoryRegion region(std::uint64_t phys, std::uint64_t size, std::uint64_t user, std::uint64_t offset = 0) {
  return {phys, size, user, offset};
}

const std::vector<Bad> kBad = {
    {"size_too_small", "SET_FEATURES: payload of 4 bytes, must be 8",
     [](const Scene& s) { s.peer.send(Request::set_features, std::uint32_t{0}); }},
    {"size_too_large", "SET_VRING_NUM: payload of 40 bytes, must be 8",
     [](const Scene& s) { s.peer.send(Request::set_vring_num, ports::vhost::VringAddress{}); }},
    {"size_of_4_gib", "SET_MEM_TABLE: payload of 4294967295 bytes",
     [](const Scene& s) {
       const ports::vhost::MessageHeader header{5, 1, 0xffffffff};
       s.peer.send_bytes(&header, sizeof header);
     }},
    {"wrong_version", "protocol version 2", [](const Scene& s) { s.peer.send(1, {}, {}, 2); }},
    {"reply_flag", "reply flag", [](const Scene& s) { s.peer.send(1, {}, {}, 5); }},
    {"unknown_message", "message 4711 is unknown", [](const Scene& s) { s.peer.send(4711, {}); }},
    {"not_vhost_user", "is unknown", [](const Scene& s) { s.peer.send_bytes("GET / HTTP/1.1\r\n\r\n", 18); }},
    {"postcopy", "POSTCOPY_ADVISE belongs to a feature that was not offered",
     [](const Scene& s) { s.peer.send(28, {}); }},
    {"iotlb", "IOTLB_MSG belongs to a feature", [](const Scene& s) { s.peer.send(22, std::vector<std::uint8_t>(32)); }},
    {"slave_channel", "SET_SLAVE_REQ_FD belongs to", [](const Scene& s) { s.peer.send(21, {}, {s.event}); }},
    {"features_not_offered", "features ACCESS_PLATFORM (0x200000000) were not offered",
     [](const Scene& s) { s.peer.send_u64(Request::set_features, feature::kIommuPlatform); }},
    {"protocol_features_not_offered", "protocol features 0x20 were not offered",
     [](const Scene& s) { s.peer.send_u64(Request::set_protocol_features, 1U << 5U); }},
    {"protocol_feature_not_negotiated", "ADD_MEM_REG: its protocol feature, bit 15, was not negotiated",
     [](const Scene& s) {
       s.peer.send(Request::add_mem_reg, ports::vhost::SingleRegion{0, s.ram.region()}, {s.ram.fd()});
     }},
    {"features_changed_while_running", "in more than LOG_ALL while rings run",
     [](const Scene& s) {
       s.running_ring();
       s.peer.send_u64(Request::set_features, kFeatures | feature::kRingPacked);
     }},

    {"unwanted_fd", "SET_FEATURES: 1 file descriptors, must be 0",
     [](const Scene& s) { s.peer.send_u64(Request::set_features, 0, {s.event}); }},
    {"too_few_fds", "SET_MEM_TABLE: 1 file descriptors for 2 regions",
     [](const Scene& s) {
       s.peer.send_memory({s.ram.region(), s.ram.region()}, {s.ram.fd()});
     }},
    {"too_many_fds", "SET_MEM_TABLE: 3 file descriptors for 1 regions",
     [](const Scene& s) {
       s.peer.send_memory({s.ram.region()}, {s.ram.fd(), s.ram.fd(), s.event});
     }},
    {"hundred_fds", "more than 8 file descriptors",
     [](const Scene& s) { s.peer.send_memory({s.ram.region()}, std::vector<int>(100, s.ram.fd())); }},
    {"nine_regions", "SET_MEM_TABLE: payload of 296 bytes",
     [](const Scene& s) {
       s.peer.send_memory(std::vector<MemoryRegion>(9, s.ram.region()), std::vector<int>(8, s.ram.fd()));
     }},
    {"region_count_of_another_size", "payload of 40 bytes for 2 regions",
     [](const Scene& s) {
       std::vector<std::uint8_t> payload(40);
       payload[0] = 2;
       s.peer.send(5, payload, {s.ram.fd(), s.ram.fd()});
     }},
    {"memory_is_an_eventfd", "the fd is not memory",
     [](const Scene& s) { s.peer.send_memory({s.ram.region()}, {s.event}); }},
    {"memory_is_a_pipe", "the fd is not memory",
     [](const Scene& s) { s.peer.send_memory({s.ram.region()}, {s.pipe}); }},
    {"memory_is_a_directory", "the fd is not memory",
     [](const Scene& s) {
       const UniqueFd directory(::open("/", O_RDONLY | O_CLOEXEC));
       s.peer.send_memory({s.ram.region()}, {directory.get()});
     }},
    {"memory_is_a_device", "the fd is not memory",
     [](const Scene& s) {
       const UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
       s.peer.send_memory({s.ram.region()}, {zero.get()});
     }},
    {"memory_is_a_file_of_the_kernel", "neither memory nor a local disk",
     [](const Scene& s) {
       const UniqueFd proc(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
       s.peer.send_memory({s.ram.region()}, {proc.get()});
     }},
    {"memory_is_sealed_against_writing", "it cannot be mapped",
     [](const Scene& s) {
       const UniqueFd sealed(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
       ASSERT_EQ(::ftruncate(sealed.get(), kRamSize), 0);
       ASSERT_EQ(::fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
       s.peer.send_memory({s.ram.region()}, {sealed.get()});
     }},
    {"region_bigger_than_its_file", "is beyond the end of its file of 1048576 bytes",
     [](const Scene& s) { s.peer.send_memory({region(0, kRamSize + 1, 0)}, {s.ram.fd()}); }},
    {"region_behind_its_file", "is beyond the end of its file",
     [](const Scene& s) { s.peer.send_memory({region(0, 4096, 0, kRamSize)}, {s.ram.fd()}); }},
    {"region_of_size_0", "its size is 0", [](const Scene& s) { s.peer.send_memory({region(0, 0, 0)}, {s.ram.fd()}); }},
    {"regions_overlap_in_the_guest", "it overlaps the memory region",
     [](const Scene& s) {
       s.peer.send_memory({region(0, 8192, 0), region(4096, 4096, 0x10000)}, {s.ram.fd(), s.ram.fd()});
     }},
    {"regions_overlap_in_the_front_end", "it overlaps the memory region",
     [](const Scene& s) {
       s.peer.send_memory({region(0, 8192, 0), region(0x10000, 4096, 4096)}, {s.ram.fd(), s.ram.fd()});
     }},
    {"region_overflows_guest_addresses", "its end is beyond 2^64",
     [](const Scene& s) { s.peer.send_memory({region(~0ULL - 100, 4096, 0)}, {s.ram.fd()}); }},
    {"region_overflows_user_addresses", "its end is beyond 2^64",
     [](const Scene& s) { s.peer.send_memory({region(0, 4096, ~0ULL - 100)}, {s.ram.fd()}); }},
    {"region_overflows_its_file", "its end is beyond 2^64",
     [](const Scene& s) { s.peer.send_memory({region(0, 4096, 0, ~0ULL - 100)}, {s.ram.fd()}); }},
    {"added_region_overlaps", "ADD_MEM_REG: memory region",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send_memory(s.ram);
       s.peer.send(Request::add_mem_reg, ports::vhost::SingleRegion{0, region(4096, 4096, 0)}, {s.ram.fd()});
     }},
    {"memory_table_without_a_running_ring", "is not inside one memory region",
     [](const Scene& s) {
       s.running_ring();
       s.peer.send_memory({region(0x100000, 4096, 0)}, {s.ram.fd()});
     }},

    {"ring_size_0", "SET_VRING_NUM: ring 0: a ring has 1 to 32768 entries, not 0",
     [](const Scene& s) { s.peer.send_state(Request::set_vring_num, 0, 0); }},
    {"ring_size_3", "a split ring is a power of two, which 3 is not",
     [](const Scene& s) { s.peer.send_state(Request::set_vring_num, 0, 3); }},
    {"ring_size_65536", "not 65536", [](const Scene& s) { s.peer.send_state(Request::set_vring_num, 0, 65536); }},
    {"ring_index_200", "ring 200: there is no such ring, the port has rings 0 to 3",
     [](const Scene& s) { s.peer.send_state(Request::set_vring_num, 200, 256); }},
    {"ring_index_200_in_addr", "SET_VRING_ADDR: ring 200",
     [](const Scene& s) {
       s.peer.send(Request::set_vring_addr, ports::vhost::VringAddress{200, 0, 0, 0, 0, 0});
     }},
    {"ring_index_200_in_kick", "SET_VRING_KICK: ring 200",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_kick, 200, {s.event}); }},
    {"ring_index_200_in_base", "GET_VRING_BASE: ring 200",
     [](const Scene& s) { s.peer.send_state(Request::get_vring_base, 200, 0); }},
    {"ring_index_4_billion", "ring 4294967295",
     [](const Scene& s) { s.peer.send_state(Request::set_vring_enable, 0xffffffff, 1); }},
    {"ring_set_up_twice", "SET_VRING_NUM: ring 0: it is running",
     [](const Scene& s) {
       s.running_ring();
       s.peer.start_ring(s.ram, 0, 512, 0, s.event, s.event);
     }},
    {"base_of_a_running_ring", "SET_VRING_BASE: ring 0: it is running",
     [](const Scene& s) {
       s.running_ring();
       s.peer.send_state(Request::set_vring_base, 0, 1);
     }},
    {"base_out_of_range", "a base of a split ring is 0 to 65535, not 65536",
     [](const Scene& s) { s.peer.send_state(Request::set_vring_base, 0, 65536); }},
    {"packed_base_out_of_range", "is slot 256 of a ring of 256",
     [](const Scene& s) {
       s.peer.negotiate(kFeatures | feature::kRingPacked, kProtocol);
       s.peer.send_memory(s.ram);
       s.peer.start_ring(s.ram, 0, 256, 256 | 0x8000, s.event, s.event);
     }},
    {"ring_address_not_aligned", "descriptor table address 0x7f0000000008 is not a multiple of 16",
     [](const Scene& s) {
       s.running_ring(1);
       s.peer.send_state(Request::set_vring_num, 0, 256);
       auto address = FrontEnd::ring_address(s.ram, 0);
       address.descriptor += 8;
       s.peer.send(Request::set_vring_addr, address);
     }},
    {"ring_outside_of_memory", "used ring at user address 0x1000, 2054 bytes, is not inside one memory region",
     [](const Scene& s) {
       s.running_ring(1);
       s.peer.send_state(Request::set_vring_num, 0, 256);
       auto address = FrontEnd::ring_address(s.ram, 0);
       address.used = 0x1000;
       s.peer.send(Request::set_vring_addr, address);
     }},
    {"ring_straddles_the_end_of_memory", "descriptor table at user address",
     [](const Scene& s) {
       s.running_ring(1);
       s.peer.send_state(Request::set_vring_num, 0, 256);
       auto address = FrontEnd::ring_address(s.ram, 0);
       address.descriptor = s.ram.user(kRamSize - 16);
       s.peer.send(Request::set_vring_addr, address);
     }},
    {"ring_wraps_around_the_address_space", "is not inside one memory region",
     [](const Scene& s) {
       s.running_ring(1);
       s.peer.send_state(Request::set_vring_num, 0, 256);
       auto address = FrontEnd::ring_address(s.ram, 0);
       address.descriptor = ~0ULL - 15;
       s.peer.send(Request::set_vring_addr, address);
     }},
    {"ring_grown_beyond_memory_before_its_start", "is not inside one memory region",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send_memory({region(0, 0x10000, s.ram.user())}, {s.ram.fd()});
       s.peer.send_state(Request::set_vring_num, 0, 256);
       s.peer.send(Request::set_vring_addr, FrontEnd::ring_address(s.ram, 0));
       s.peer.send_state(Request::set_vring_num, 0, 32768);
       s.peer.send_u64(Request::set_vring_kick, 0, {s.event});
     }},
    {"address_flags", "address flags are 0 or 1",
     [](const Scene& s) {
       s.peer.send(Request::set_vring_addr, ports::vhost::VringAddress{0, 2, 0, 0, 0, 0});
     }},
    {"enable_2", "enable is 0 or 1, not 2", [](const Scene& s) { s.peer.send_state(Request::set_vring_enable, 0, 2); }},

    {"kick_is_a_pipe", "an eventfd is needed",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_kick, 0, {s.pipe}); }},
    {"call_is_a_pipe", "SET_VRING_CALL: ring 0: the fd is 'pipe:",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_call, 0, {s.pipe}); }},
    {"call_is_memory", "an eventfd is needed",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_call, 0, {s.ram.fd()}); }},
    {"err_is_a_pipe", "SET_VRING_ERR", [](const Scene& s) { s.peer.send_u64(Request::set_vring_err, 0, {s.pipe}); }},
    {"call_without_its_fd", "0 file descriptors, must be 1",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_call, 0); }},
    {"call_with_an_fd_that_it_denies", "1 file descriptors, must be 0",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_call, 0x100, {s.event}); }},
    {"call_with_unknown_bits", "must be a ring's index",
     [](const Scene& s) { s.peer.send_u64(Request::set_vring_call, 0x200, {s.event}); }},

    {"log_outside_of_its_file", "SET_LOG_BASE: the log: offset 4096 + size 1048576 is beyond the end",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send(Request::set_log_base, ports::vhost::LogDescription{kRamSize, 4096}, {s.ram.fd()});
     }},
    {"log_of_size_0", "its size is 0",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send(Request::set_log_base, ports::vhost::LogDescription{0, 0}, {s.ram.fd()});
     }},
    {"log_without_an_fd", "SET_LOG_BASE: 0 file descriptors",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0});
     }},
    {"log_is_an_eventfd", "the fd is not memory",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {s.event});
     }},
    {"used_ring_beyond_the_log", "is beyond the end of the log",
     [](const Scene& s) {
       s.running_ring();
       s.peer.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {s.ram.fd()});
       s.peer.send_u64(Request::set_features, kFeatures | feature::kLogAll);
       auto address = FrontEnd::ring_address(s.ram, 0);
       address.flags = 1;
       address.log = 1ULL << 40U;
       s.peer.send(Request::set_vring_addr, address);
     }},
    {"log_fd_is_a_pipe", "SET_LOG_FD", [](const Scene& s) { s.peer.send(7, {}, {s.pipe}); }},
    {"rarp_of_a_group", "SEND_RARP",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send_u64(Request::send_rarp, 0x0605040302ff);
     }},
    {"status_of_9_bits", "status 0x100, must be 8 bits",
     [](const Scene& s) {
       s.negotiated();
       s.peer.send_u64(Request::set_status, 0x100);
     }},
    {"half_a_header_then_silence", "half a message: 5 of 12 bytes within 50 ms",
     [](const Scene& s) { s.peer.send_bytes("\x01\0\0\0\x01", 5); }},
    {"half_a_payload_then_silence", "half a message: 16 of 20 bytes within 50 ms",
     [](const Scene& s) {
       const std::uint32_t half[] = {2, 1, 8, 0};
       s.peer.send_bytes(half, sizeof half, {s.ram.fd()});
     }},
    {"half_a_message_then_closed", "in the middle of a message",
     [](const Scene& s) {
       s.peer.send_bytes("\x01\0\0\0\x01", 5);
       ::shutdown(s.peer.socket(), SHUT_WR);
     }},
};

class BadMessage : public Bench, public testing::WithParamInterface<Bad> {};

TEST_P(BadMessage, costs_its_own_connection_and_nothing_else) {
  auto o = options("attacked", ports::vhost::SocketMode::server);
  o.message_deadline = std::chrono::milliseconds(50);
  const auto attacked = make(o);
  const auto other = server("victim");
  FrontEnd victim = connect("victim");
  GuestRam victim_ram(kRamSize);
  const UniqueFd victim_event = event();
  victim.negotiate(kFeatures, kProtocol);
  victim.send_memory(victim_ram);
  victim.start_ring(victim_ram, 1, 256, 0, victim_event.get(), victim_event.get());
  ASSERT_TRUE(victim.settle());

  const Held before = Held::now();
  {
    FrontEnd peer = connect("attacked");
    GuestRam ram(kRamSize);
    const UniqueFd an_event = event();
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd read_end(ends[0]);
    const UniqueFd write_end(ends[1]);
    GetParam().act(Scene{peer, ram, an_event.get(), write_end.get()});
    ASSERT_TRUE(peer.wait_until_closed());
  }
  ASSERT_EQ(errors_.size(), 1U) << testing::PrintToString(errors_);
  EXPECT_NE(errors_[0].find("port 'attacked': "), std::string::npos) << errors_[0];
  EXPECT_NE(errors_[0].find(GetParam().says), std::string::npos) << errors_[0];
  EXPECT_EQ(Held::now(), before);
  EXPECT_TRUE(victim.settle());
  EXPECT_EQ(other->rx_queues().size(), 1U);
  EXPECT_TRUE(attacked->rx_queues().empty());
  EXPECT_TRUE(attacked->tx_queues().empty());

  FrontEnd next = connect("attacked");
  EXPECT_TRUE(next.settle()) << "the port serves the next front end";
}

INSTANTIATE_TEST_SUITE_P(VhostUser, BadMessage, testing::ValuesIn(kBad),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sluice::test
