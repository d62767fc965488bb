// Which slot is which port's, for one worker after another.
#include "control/keeper/port_slots.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sluice::control {
namespace {

using ports::UniqueFd;
using ports::vhost::PortState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PortIdentity vm(const std::string& name, const std::string& socket) { return {name, socket, true}; }
PortIdentity device(const std::string& name) { return {name, {}, false}; }

class PortSlotsTest : public ::testing::Test {
 protected:
  /// One after another.
  struct Worker {
    explicit Worker(const UniqueFd& memory) : shared(*SharedMemory::map(memory.get())), slots(shared) {}
    std::vector<unsigned> find(const std::vector<PortIdentity>& ports) const {
      auto found = slots.find(ports);
      EXPECT_TRUE(found) << found.error().message;
      return found ? *found : std::vector<unsigned>(ports.size(), SharedState::kMaxSlots);
    }
    /// As it does when the ports are its.
    std::vector<unsigned> take_up(const std::vector<PortIdentity>& ports) {
      const auto found = find(ports);
      for (std::size_t i = 0; i < ports.size(); ++i) {
        slots.settle(found[i], ports[i].name);
        if (ports[i].socket.empty()) continue;
        PortState& state = shared->vhost[found[i]].state;
        state.path = {};
        ports[i].socket.copy(state.path.data(), state.path.size() - 1);
        state.client = ports[i].connects ? 1 : 0;
        state.layout = PortState::kLayout;
      }
      return found;
    }
    SharedMemory shared;
    PortSlots slots;
  };
  UniqueFd memory_ = std::move(*SharedMemory::create());
};

TEST_F(PortSlotsTest, a_port_has_the_same_slot_for_every_worker) {
  const std::vector ports{device("nic"), vm("vm1", "/a"), vm("vm2", "/b")};
  const auto slots = Worker(memory_).take_up(ports);
  EXPECT_EQ(std::set(slots.begin(), slots.end()).size(), 3U);
  EXPECT_EQ(Worker(memory_).take_up(ports), slots);
  const auto turned = Worker(memory_).take_up({ports[2], ports[0], device("new"), ports[1]});
  EXPECT_THAT((std::vector{turned[1], turned[3], turned[0]}), ::testing::ElementsAreArray(slots));
}

TEST_F(PortSlotsTest, a_devices_node_is_known_to_every_worker_until_the_port_is_gone) {
  Worker first(memory_);
  const auto slot = first.take_up({device("nic")}).front();
  EXPECT_EQ(first.slots.node(slot), -1);
  first.slots.note_node(slot, 0);
  EXPECT_EQ(first.slots.node(slot), 0);
  first.slots.note_node(slot, 1);
  Worker next(memory_);
  EXPECT_EQ(next.slots.node(next.take_up({device("nic")}).front()), 1);
  next.slots.release(slot);
  EXPECT_EQ(Worker(memory_).slots.node(slot), -1);
}

TEST_F(PortSlotsTest, a_vm_is_found_by_its_socket_whatever_its_port_is_called_by_now) {
  const auto slots = Worker(memory_).take_up({vm("vm1", "/a"), vm("vm2", "/b"), device("nic")});
  // Names have gone round, and one of them is a device's now.
  Worker next(memory_);
  EXPECT_THAT(next.take_up({vm("vm2", "/a"), vm("other", "/b"), device("vm1")}),
              ElementsAre(slots[0], slots[1], ::testing::AllOf(::testing::Ne(slots[0]), ::testing::Ne(slots[1]))));
  EXPECT_STREQ(next.shared->labels[slots[0]].name.data(), "vm2");
  EXPECT_THAT(next.slots.unclaimed(), ElementsAre(slots[2]));
}

TEST_F(PortSlotsTest, another_socket_is_another_vm) {
  const auto slots = Worker(memory_).take_up({vm("vm1", "/a"), vm("vm2", "/b")});
  PortIdentity listens = vm("vm2", "/b");
  listens.connects = false;
  Worker next(memory_);
  const auto found = next.take_up({vm("vm1", "/c"), listens});
  for (const unsigned slot : found) EXPECT_FALSE(std::ranges::count(slots, slot));
  EXPECT_EQ(next.slots.unclaimed(), slots);
}

TEST_F(PortSlotsTest, to_look_changes_nothing) {
  const auto slots = Worker(memory_).take_up({vm("vm1", "/a")});
  {
    const Worker looks(memory_);
    EXPECT_EQ(looks.find({vm("renamed", "/a"), vm("new", "/n")}).front(), slots.front());
  }
  const Worker next(memory_);
  EXPECT_STREQ(next.shared->labels[slots[0]].name.data(), "vm1");
  EXPECT_EQ(next.slots.unclaimed(), slots);
}

TEST_F(PortSlotsTest, a_slot_is_not_to_be_had_until_nothing_of_its_port_is_left) {
  Worker worker(memory_);
  const unsigned slot = worker.take_up({device("x")}).front();
  worker.shared->tallies.use_rows(1);
  worker.shared->tallies.counters(0, static_cast<flowtable::PortId>(slot)).rx_packets.add(5);
  worker.shared->vhost[slot].state.mtu = 9000;
  worker.slots.retire(slot);
  EXPECT_NE(worker.find({device("x")}).front(), slot);
  EXPECT_THAT(Worker(memory_).slots.unclaimed(), ElementsAre(slot)) << "a worker that comes after has to tidy up";
  worker.slots.release(slot);
  EXPECT_EQ(worker.find({device("y")}).front(), slot);
  EXPECT_EQ(worker.shared->tallies.counted(static_cast<flowtable::PortId>(slot)), PortTotals());
  EXPECT_EQ(worker.shared->vhost[slot].state.mtu, 0U);
}

TEST_F(PortSlotsTest, as_many_ports_as_a_switch_may_have_find_a_slot_each_and_no_more) {
  Worker worker(memory_);
  std::vector<PortIdentity> ports;
  for (unsigned i = 0; i < flowtable::kMaxPorts; ++i) ports.push_back(device("port" + std::to_string(i)));
  const auto slots = worker.take_up(ports);
  EXPECT_EQ(std::set(slots.begin(), slots.end()).size(), ports.size());
  const auto more = worker.slots.find(std::vector{device("more")});
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("port 'more'"));
  struct stat file {};
  ASSERT_EQ(::fstat(memory_.get(), &file), 0);
  EXPECT_LT(file.st_blocks * 512, 10 << 20) << "a page or two of each, and nothing of what is not used";
}

}  // namespace
}  // namespace sluice::control
