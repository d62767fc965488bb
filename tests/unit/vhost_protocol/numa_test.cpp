// Where a guest's memory is, and that what PMDs write of its port follows. The kernel's answers are made up here, in
// the place of libnuma's functions: this machine may have one node only.
#include <numaif.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bench.hpp"
#include "kept_estate.hpp"

namespace {

struct {
  int node = 0;
  unsigned asked = 0;
  std::vector<std::pair<const void*, std::size_t>> bound;  ///< a node, from an address on
  std::vector<std::size_t> bound_nodes;
} kernel;

}  // namespace

long move_pages(int /*pid*/, unsigned long count, void** /*pages*/, const int* /*nodes*/, int* status, int /*flags*/) {
  ++kernel.asked;
  std::fill_n(status, count, kernel.node);
  return 0;
}

long mbind(void* start, unsigned long size, int mode, const unsigned long* nodes, unsigned long, unsigned flags) {
  EXPECT_EQ(mode, MPOL_PREFERRED);
  EXPECT_EQ(flags, unsigned{MPOL_MF_MOVE});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(start) % 4096, 0U);
  kernel.bound.emplace_back(start, size);
  std::size_t node = 0;
  while ((nodes[node / 64] >> (node % 64) & 1U) == 0) ++node;
  kernel.bound_nodes.push_back(node);
  return 0;
}

namespace sluice::test {
namespace {

namespace feature = ports::vhost::feature;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1;

class Numa : public Bench {
 protected:
  Numa() { kernel = {}; }

  void attach(FrontEnd& peer) {
    peer.negotiate(kFeatures, 0);
    peer.send_memory(ram_);
    for (const std::uint32_t i : {0U, 1U}) peer.start_ring(ram_, i, 256, 0, event_.get(), event_.get());
    ASSERT_TRUE(peer.settle());
  }

  /// A port that another follows, or that follows another.
  std::unique_ptr<Port> prepare(KeptEstate& estate, bool has_time) {
    auto o = options("s", ports::vhost::SocketMode::server);
    o.has_time = has_time;
    auto port = Port::prepare(o, host_, estate);
    EXPECT_TRUE(port) << port.error();
    return std::move(*port);
  }

  GuestRam ram_{1U << 20U};
  const UniqueFd event_ = event();
};

TEST_F(Numa, the_kernel_is_asked_once_a_memory_table) {
  const auto port = server("s");
  kernel.node = 3;
  FrontEnd peer = connect("s");
  attach(peer);
  EXPECT_EQ(kernel.asked, 1U);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(port->numa_node(), 3);
  static_cast<void>(port->status());
  EXPECT_EQ(kernel.asked, 1U);
  kernel.node = 2;
  peer.send_memory(ram_);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(port->numa_node(), 2);
  EXPECT_EQ(kernel.asked, 2U);
  peer.close();
  ASSERT_TRUE(eventually([&] { return port->status().state == "listening"; }));
  EXPECT_EQ(port->numa_node(), -1);
}

TEST_F(Numa, memory_that_the_guest_had_not_used_is_asked_for_again_when_its_rings_start) {
  const auto port = server("s");
  kernel.node = -2;  // -ENOENT: no such page yet
  FrontEnd peer = connect("s");
  peer.negotiate(kFeatures, 0);
  peer.send_memory(ram_);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(port->numa_node(), -1);
  EXPECT_TRUE(kernel.bound.empty());
  kernel.node = 1;
  int seen = -1;
  port->queues_changed = [&] { seen = port->numa_node(); };
  peer.start_ring(ram_, 1, 256, 0, event_.get(), event_.get());
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(seen, 1) << "known when the switch chooses a PMD";
}

TEST_F(Numa, what_pmds_write_of_a_port_is_moved_to_the_guests_node) {
  const auto port = server("s");
  kernel.node = 1;
  FrontEnd peer = connect("s");
  attach(peer);
  ASSERT_EQ(kernel.bound.size(), 2U) << "queues, and positions";
  EXPECT_EQ(kernel.bound_nodes, (std::vector<std::size_t>{1, 1}));
  EXPECT_EQ(kernel.bound[0].second, 4 * sizeof(ports::vhost::VhostQueue)) << "of two queue pairs";
  EXPECT_EQ(kernel.bound[1].second, sizeof(ports::vhost::PortState));
  peer.send_memory(ram_);
  ASSERT_TRUE(peer.settle());
  EXPECT_EQ(kernel.bound.size(), 2U) << "they are there";
}

TEST_F(Numa, a_successor_that_is_prepared_beside_has_all_moved_before_the_guest_waits_for_it) {
  KeptEstate estate;
  const auto before = prepare(estate, false);
  before->activate();
  kernel.node = 1;
  FrontEnd peer = connect("s");
  attach(peer);
  kernel.bound.clear();
  const auto next = prepare(estate, true);
  EXPECT_EQ(kernel.bound.size(), 2U) << "queues, and positions";
  const auto asked = kernel.asked;

  before->leave();
  next->activate();
  EXPECT_EQ(next->status().state, "connected") << "the guest is served again";
  EXPECT_EQ(next->numa_node(), 1);
  EXPECT_EQ(kernel.bound.size(), 2U);
  EXPECT_EQ(kernel.asked, asked);
}

TEST_F(Numa, a_successor_without_time_knows_the_node_of_before_and_moves_later) {
  KeptEstate estate;
  kernel.node = 1;
  FrontEnd peer = [&] {
    const auto before = prepare(estate, false);
    before->activate();
    FrontEnd front = connect("s");
    attach(front);
    before->leave();  // as good as killed
    return front;
  }();
  kernel.bound.clear();
  kernel.node = -2;  // -ENOENT: nothing of the guest's is in the page tables of a new process
  const auto next = prepare(estate, false);
  next->activate();
  EXPECT_EQ(next->status().state, "connected");
  EXPECT_EQ(next->numa_node(), 1);
  EXPECT_TRUE(kernel.bound.empty());
  ASSERT_TRUE(eventually([&] { return kernel.bound.size() == 2; }));
  EXPECT_EQ(kernel.bound_nodes.back(), 1U);
}

TEST_F(Numa, a_node_that_nobody_knew_is_found_after_the_guest_is_served_again) {
  KeptEstate estate;
  kernel.node = -2;
  FrontEnd peer = [&] {
    const auto before = prepare(estate, false);
    before->activate();
    FrontEnd front = connect("s");
    attach(front);
    before->leave();
    return front;
  }();
  const auto next = prepare(estate, false);
  next->activate();
  kernel.node = 1;
  int seen = -1;
  next->queues_changed = [&] { seen = next->numa_node(); };
  EXPECT_TRUE(eventually([&] { return seen == 1; })) << "the switch chooses a PMD again";
}

}  // namespace
}  // namespace sluice::test
