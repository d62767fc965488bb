// What control believes of a packet by its class alone is so for every frame that parse accepts.
#include <gtest/gtest.h>

#include <random>

#include "control/rules/packet_class.hpp"
#include "datapath/parse.hpp"
#include "tests/unit/execute/world.hpp"
#include "tests/unit/law/frame_of.hpp"

namespace sluice::test {
namespace {

using control::testing::below;
using flowtable::FlowKey;
using flowtable::PacketClass;

std::optional<FlowKey> parsed(const Bytes& bytes, flowtable::PortId in_port) {
  GuestFrame frame(bytes);
  FlowKey key;
  if (datapath::parse(frame.frame(), in_port, key)) return std::nullopt;
  return key;
}

void expect_facts(const FlowKey& key) {
  const auto& facts = control::class_facts(static_cast<PacketClass>(key.packet_class));
  ASSERT_EQ(flowtable::masked(key, facts.mask), facts.value) << "class " << int{key.packet_class};
}

TEST(Facts, a_frame_made_from_a_key_has_that_key) {
  control::testing::Random random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto key = random_packet_key(random, 3);
    const auto again = parsed(frame_of(key, 20 + below(random, 60)), 3);
    ASSERT_TRUE(again);
    ASSERT_EQ(*again, key) << "class " << int{key.packet_class} << ", protocol " << int{key.nw_proto};
  }
}

TEST(Facts, hold_for_every_frame_that_parse_accepts) {
  control::testing::Random random(2);
  std::array<unsigned, flowtable::kPacketClasses> seen{};
  for (int i = 0; i < 500'000; ++i) {
    auto bytes = frame_of(random_packet_key(random, 3), 20 + below(random, 60));
    switch (below(random, 4)) {
      case 0: bytes.resize(below(random, static_cast<unsigned>(bytes.size()))); break;
      case 1:
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
        break;
      default:
        for (unsigned n = 1 + below(random, 4); n != 0; --n) {
          bytes[below(random, static_cast<unsigned>(bytes.size()))] = static_cast<std::uint8_t>(random());
        }
    }
    const auto key = parsed(bytes, 3);
    if (!key) continue;
    expect_facts(*key);
    if (HasFatalFailure()) return;
    ++seen[key->packet_class];
  }
  for (std::size_t c = 0; c < seen.size(); ++c) EXPECT_GT(seen[c], 100U) << "class " << c;
}

}  // namespace
}  // namespace sluice::test
