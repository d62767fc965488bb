// Memory of flow tables is there before the flows, so that no PMD waits for the kernel.
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/slowpath/world.hpp"

namespace sluice::control::test {
namespace {

using flowtable::FlowTable;

/// Whether touching an entry would make no page fault.
bool has_memory(const FlowTable& table, std::size_t entry) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(&table.entry(static_cast<flowtable::EntryId>(entry)));
  unsigned char resident = 0;
  EXPECT_EQ(mincore(reinterpret_cast<void*>(address / page * page), 1, &resident), 0);
  return (resident & 1U) != 0;
}

TEST(TableMemory, each_flow_finds_memory_there_and_so_do_the_next_ten_thousand) {
  constexpr std::size_t kFlows = 40'000;
  World world({}, kFlows);
  world.port(1);
  world.port(2);
  world.rule("priority=1,udp,nw_src=1.2.3.4,actions=drop");  // reads addresses: each is a flow of its own
  auto key = world.key("in_port=p1,udp,dl_src=" + mac(1) + ",dl_dst=" + mac(2));
  for (std::size_t flow = 0; flow < kFlows; ++flow) {
    ASSERT_TRUE(has_memory(world.pmd->table(), flow));
    ASSERT_TRUE(has_memory(world.pmd->table(), std::min(flow + 10'000, kFlows - 1))) << "at " << flow << " flows";
    key.nw_src[14] = static_cast<std::uint8_t>(flow >> 8U);
    key.nw_src[15] = static_cast<std::uint8_t>(flow);
    world.send(key);
  }
}

TEST(TableMemory, a_table_of_few_flows_takes_little) {
  World world({}, 1'000'000);
  world.port(1);
  world.settle();
  EXPECT_TRUE(has_memory(world.pmd->table(), 0));
  EXPECT_FALSE(has_memory(world.pmd->table(), FlowTable::kEntriesAPage));
}

}  // namespace
}  // namespace sluice::control::test
