// Which frames are sent, to whom, of which flow and size, and when.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "perf/vmgen/flow_addresses.hpp"
#include "perf/vmgen/flow_picker.hpp"
#include "perf/vmgen/imix.hpp"
#include "perf/vmgen/pacer.hpp"
#include "perf/vmgen/probe.hpp"
#include "perf/vmgen/stream.hpp"

namespace sluice::vmgen {
namespace {

Options options_of(std::size_t vms) {
  Options options;
  options.vary.dst_ip = true;
  for (std::size_t i = 0; i < vms; ++i) {
    VmOptions vm;
    vm.mac = {2, 0, 0, 0, static_cast<std::uint8_t>(i), 0};
    options.vms.push_back(vm);
  }
  return options;
}

std::vector<std::uint32_t> picked(FlowPicker& picker, std::size_t count) {
  std::vector<std::uint32_t> flows(count);
  for (std::size_t at = 0; at < count; at += 32)
    picker.pick(std::span{flows}.subspan(at, std::min<std::size_t>(32, count - at)));
  return flows;
}

std::vector<double> shares(const std::vector<std::uint32_t>& flows, std::uint32_t count) {
  std::vector<double> share(count);
  for (const std::uint32_t flow : flows) share.at(flow) += 1.0 / static_cast<double>(flows.size());
  return share;
}

TEST(Imix, of_twelve_frames_seven_are_small_four_medium_and_one_large) {
  Options options = options_of(2);
  options.imix = true;
  Stream stream{options, {0, 1, options.vms[1].mac}};
  std::map<std::uint32_t, int> lengths;
  for (int i = 0; i < 1200; ++i) ++lengths[stream.next_writer().length()];
  EXPECT_EQ(lengths, (std::map<std::uint32_t, int>{{64, 700}, {594, 400}, {1518, 100}}));
}

TEST(FlowPicker, round_robin_takes_each_in_turn) {
  FlowPicker picker{Distribution::kRoundRobin, 100, 1, 1};
  const auto flows = picked(picker, 1000);
  for (std::size_t i = 0; i < flows.size(); ++i) ASSERT_EQ(flows[i], i % 100);
}

TEST(FlowPicker, uniform_takes_all_alike) {
  FlowPicker picker{Distribution::kUniform, 50, 1, 1};
  for (const double share : shares(picked(picker, 500'000), 50)) EXPECT_NEAR(share, 0.02, 0.001);
}

TEST(FlowPicker, zipf_takes_the_kth_in_proportion_to_a_power_of_k) {
  for (const double exponent : {0.8, 1.0, 1.3}) {
    constexpr std::uint32_t kFlows = 1000;
    FlowPicker picker{Distribution::kZipf, kFlows, exponent, 1};
    const auto share = shares(picked(picker, 2'000'000), kFlows);
    double sum = 0;
    for (std::uint32_t i = 1; i <= kFlows; ++i) sum += std::pow(i, -exponent);
    for (std::uint32_t i = 0; i < 20; ++i) {
      const double wanted = std::pow(i + 1, -exponent) / sum;
      EXPECT_NEAR(share[i], wanted, 0.06 * wanted) << "flow " << i << ", exponent " << exponent;
    }
    EXPECT_GT(*std::min_element(share.begin(), share.end()), 0) << "each flow has a share";
  }
}

TEST(FlowPicker, the_same_seed_picks_the_same_flows_and_another_one_others) {
  FlowPicker one{Distribution::kUniform, 1'000'000, 1, 5};
  FlowPicker same{Distribution::kUniform, 1'000'000, 1, 5};
  FlowPicker other{Distribution::kUniform, 1'000'000, 1, 6};
  const auto flows = picked(one, 64);
  EXPECT_EQ(flows, picked(same, 64));
  EXPECT_NE(flows, picked(other, 64));
}

TEST(FlowAddresses, tell_all_flows_apart_by_what_varies_alone) {
  for (unsigned bits = 1; bits < 16; ++bits) {
    const Vary vary{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
    const FlowAddresses addresses{vary, 1, 2};
    const FlowAddress first = addresses.of(0);
    std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint16_t, std::uint16_t>> seen;
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(FlowAddresses::capacity(vary), 200'000));
    for (std::uint32_t flow = 0; flow < count; ++flow) {
      const FlowAddress address = addresses.of(flow);
      seen.insert({address.src_ip, address.dst_ip, address.src_port, address.dst_port});
      ASSERT_TRUE(vary.src_ip || address.src_ip == first.src_ip);
      ASSERT_TRUE(vary.dst_ip || address.dst_ip == first.dst_ip);
      ASSERT_TRUE(vary.src_port || address.src_port == first.src_port);
      ASSERT_TRUE(vary.dst_port || address.dst_port == first.dst_port);
    }
    EXPECT_EQ(seen.size(), count) << "bits " << bits;
  }
}

TEST(FlowAddresses, of_other_senders_and_receivers_are_others) {
  const Vary vary{true, true, false, false};
  std::set<std::pair<std::uint32_t, std::uint32_t>> nets;
  for (std::uint8_t sender = 0; sender < kMostVms; ++sender) {
    for (std::uint8_t receiver = 0; receiver <= kMostVms; ++receiver) {
      const FlowAddress address = FlowAddresses{vary, sender, receiver}.of(0xffffffff);
      nets.insert({address.src_ip >> 24, address.dst_ip >> 24});
      EXPECT_LT(address.dst_ip >> 24, 127U) << "unicast";
    }
  }
  EXPECT_EQ(nets.size(), kMostVms * (kMostVms + 1));
}

TEST(Stream, new_flows_were_never_seen_before_in_any_run) {
  Options options = options_of(2);
  options.flows = 10;
  Stream stream{options, {0, 1, options.vms[1].mac}};
  std::set<std::uint32_t> seen;
  for (int run = 0; run < 3; ++run) {
    stream.begin();
    EXPECT_EQ(stream.first_new_flow(), 10 + static_cast<std::uint32_t>(run) * 100);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(seen.insert(stream.new_flow()).second);
    for (int i = 0; i < 100; ++i) EXPECT_LT(stream.next_flow(), 10U);
  }
}

TEST(Stream, a_flows_numbers_count_from_zero_in_each_run) {
  Options options = options_of(2);
  options.flows = 3;
  Stream stream{options, {0, 1, options.vms[1].mac}};
  for (int run = 0; run < 2; ++run) {
    stream.begin();
    std::map<std::uint32_t, std::uint32_t> next;
    for (int i = 0; i < 100; ++i) {
      const std::uint32_t flow = stream.next_flow();
      ASSERT_EQ(stream.next_number(flow), next[flow]++);
    }
  }
}

std::set<std::pair<int, int>> pairs_of(Options options, Pattern pattern) {
  options.pattern = pattern;
  std::set<std::pair<int, int>> pairs;
  for (const Route& route : routes_of(options)) {
    for (std::size_t i = 0; i < options.vms.size(); ++i) {
      if (arrives_at(route, i)) pairs.insert({route.sender, static_cast<int>(i)});
    }
  }
  return pairs;
}

TEST(Routes, are_those_of_the_pattern) {
  using Pairs = std::set<std::pair<int, int>>;
  EXPECT_EQ(pairs_of(options_of(4), Pattern::kPairs), (Pairs{{0, 1}, {1, 0}, {2, 3}, {3, 2}}));
  EXPECT_EQ(pairs_of(options_of(4), Pattern::kOneWay), (Pairs{{0, 1}, {2, 3}}));
  EXPECT_EQ(pairs_of(options_of(3), Pattern::kEach), (Pairs{{0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}}));
  EXPECT_EQ(pairs_of(options_of(3), Pattern::kFlood), (Pairs{{0, 1}, {0, 2}}));
  EXPECT_EQ(pairs_of(options_of(2), Pattern::kEcho), (Pairs{{0, 0}, {1, 1}}));
}

TEST(Pacer, gives_what_is_due_and_no_more_whenever_it_is_asked) {
  std::mt19937_64 random{1};
  for (const double rate : {10.0, 1e4, 3.3e6}) {
    constexpr double kHz = 2e9;
    Pacer pacer;
    pacer.begin(rate, kHz, 1000);
    std::uint64_t now = 1000;
    std::uint64_t given = 0;
    for (int i = 0; i < 100'000; ++i) {
      // Mostly sooner than the next one is due, now and then much later.
      now += static_cast<std::uint64_t>(static_cast<double>(random() % 1000) / 500 * kHz / rate *
                                        (i % 1000 == 0 ? 300 : 1));
      given += pacer.due(now, 32);
      const double due = static_cast<double>(now - 1000) * rate / kHz;
      ASSERT_LE(static_cast<double>(given + pacer.skipped()), due + 1e-3);
      ASSERT_GE(static_cast<double>(given + pacer.skipped() + Pacer::kMostBehind), std::floor(due));
    }
  }
}

TEST(Pacer, who_is_late_by_more_than_a_few_skips_them) {
  Pacer pacer;
  pacer.begin(1000, 1e6, 0);
  EXPECT_EQ(pacer.due(1'000'000, 32), 32);  // a second late: 1000 are due
  EXPECT_EQ(pacer.skipped(), 1000 - Pacer::kMostBehind);
  std::uint64_t rest = 0;
  while (const std::uint32_t more = pacer.due(1'000'000, 32)) rest += more;
  EXPECT_EQ(rest, Pacer::kMostBehind - 32);
}

}  // namespace
}  // namespace sluice::vmgen
