// Which PMD polls what, while devices come and go.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "control/switch/pmd_set.hpp"
#include "control/switch/port_set.hpp"
#include "tests/unit/execute/world.hpp"

namespace sluice::test {
namespace {

using control::PmdSet;
using control::PortQueues;
using flowtable::PortId;

TEST(PmdPlaces, stay_as_they_are_while_a_device_is_closed) {
  start_dpdk();
  auto device = ports::ethdev::EthdevPort::create({.name = "x", .devargs = "net_null_p", .pools = port_pools()});
  ASSERT_TRUE(device) << device.error();
  control::PmdConfig config;
  config.cores = {0, 1};
  datapath::PmdOptions options;
  options.flow_limit = 100;
  options.pool = shared_pool();
  auto pmds = PmdSet::create(config, options);
  ASSERT_TRUE(pmds);
  const auto polled_by = [&] {
    std::map<PortId, std::size_t> members;
    for (const auto& queue : pmds->queues()) members[queue.id.port] = queue.id.member;
    return members;
  };

  std::vector<PortQueues> ports;
  for (PortId id = 0; id < 3; ++id) {
    ports.push_back({.id = id, .name = std::to_string(id), .max_frame = 1522, .rx = (*device)->rx_queues()});
  }
  ports[0].rx_places = 1;
  pmds->use(ports);
  auto places = polled_by();
  EXPECT_EQ(places, (std::map<PortId, std::size_t>{{0, 0}, {1, 1}, {2, 0}}));
  ports[0].rx.clear();
  pmds->use(ports);
  places.erase(0);
  EXPECT_EQ(polled_by(), places);
  pmds->use({});
}

TEST(PmdPlaces, are_kept_for_a_device_that_is_not_open_and_for_no_guest) {
  control::PortSet ports;
  control::PortConfig nic;
  nic.name = "nic";
  nic.queues = 2;
  control::PortConfig vm;
  vm.name = "vm";
  vm.vhost_user.emplace();
  ports.add(3, nic, 1);
  ports.add(4, vm);
  const auto queues = ports.queues();
  ASSERT_EQ(queues.size(), 1U);
  EXPECT_EQ(queues[0].id, 3);
  EXPECT_EQ(queues[0].rx_places, 2U);
  EXPECT_EQ(queues[0].numa_node, 1) << "as when it was open";
  EXPECT_TRUE(queues[0].rx.empty() && queues[0].tx.empty());
}

}  // namespace
}  // namespace sluice::test
