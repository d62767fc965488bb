// What is left of a port that went, and what the next port of its id finds.
#include <gtest/gtest.h>

#include "control/switch/pmd_set.hpp"
#include "tests/unit/execute/world.hpp"

namespace sluice::test {
namespace {

using control::PmdSet;
using control::PortQueues;
using ports::ethdev::EthdevPort;

PmdSet two_pmds() {
  start_dpdk();
  control::PmdConfig config;
  config.cores = {0, 1};
  datapath::PmdOptions options;
  options.flow_limit = 100;
  options.pool = shared_pool();
  auto pmds = PmdSet::create(config, options);
  EXPECT_TRUE(pmds);
  return std::move(*pmds);
}

TEST(DepartedPort, leaves_no_counts_to_the_next_of_its_id) {
  auto pmds = two_pmds();
  auto port = EthdevPort::create({.name = "x", .devargs = "net_null_q", .pools = port_pools()});
  ASSERT_TRUE(port) << port.error();
  const std::vector<PortQueues> one{{.id = 3,
                                     .name = "x",
                                     .numa_node = -1,
                                     .max_frame = 1522,
                                     .rx = (*port)->rx_queues(),
                                     .tx = (*port)->tx_queues()}};
  const datapath::MaskView masks{.ports = std::vector<datapath::MaskView::PortMasks>(4)};
  for (const auto& member : pmds.members()) static_cast<void>(member.pmd->publish_masks(&masks));
  const auto counted = [&] { return pmds.queues().at(0).counters->packets.get(); };
  pmds.use(one);
  for (const auto& member : pmds.members()) member.pmd->run_once(1);
  EXPECT_EQ(counted(), 32U);
  pmds.use(one);
  EXPECT_EQ(counted(), 32U) << "the port has stayed";
  pmds.use({});
  pmds.forget(3);
  pmds.use(one);
  EXPECT_EQ(counted(), 0U);
  pmds.use({});
}

}  // namespace
}  // namespace sluice::test
