// Episodes: the law as a fixture. In an episode some packets are on their way while rules, ports, VLANs and addresses
// change; PMD and slow path take steps in any order. After each step the pipeline is asked what it says of each packet.
// What comes out of the switch for a packet, port by port and byte by byte, must be what execute makes of it by one of
// those answers; of the last one, where nothing has changed.
#pragma once

#include <gtest/gtest.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "control/rules/format.hpp"
#include "datapath/parse.hpp"
#include "tests/unit/law/frame_of.hpp"
#include "tests/unit/law/joined.hpp"

namespace sluice::test {

using control::VlanConfig;
using control::testing::below;
using control::testing::one_in;
using control::testing::Random;
using flowtable::FlowKey;
using flowtable::PortId;

using Actions = std::vector<flowtable::Action>;
/// Frames by port, each port's in order.
using Outputs = std::map<PortId, std::vector<Bytes>>;

/// A frame without its mark, and how it comes in.
struct Body {
  PortId in_port;
  Bytes bytes;
  ports::Offload offload;  ///< of frames that a guest sends
};

struct Packet {
  std::uint32_t number;
  Bytes bytes;
  PortId in_port;
  ports::Offload offload;
  std::optional<FlowKey> key;  ///< nothing: parse refuses it
  bool sent = false;
  std::vector<Actions> answers;  ///< of the pipeline, so far
  Outputs outputs;
};

inline constexpr std::uint32_t kMark = 0x5eed5eed;
inline constexpr std::size_t kTail = 8;
/// What a frame that is to be segmented carries.
inline constexpr std::size_t kSegmentedPayload = 1600;

/// What a flow has, seen from both sides.
struct Seen {
  const flowtable::FlowEntry* entry = nullptr;
  const flowtable::Decision* decision = nullptr;
  const flowtable::ActionList* list = nullptr;
  std::uint64_t packets = 0;
  control::DecisionInputs inputs{};
  Actions says;
  bool source_known = false;
  std::uint16_t generation = 0;
};

class Episodes : public ::testing::TestWithParam<int> {
 protected:
  Episodes() : random_(static_cast<std::uint64_t>(GetParam())), joined_(options()), reference_(Joined::kPorts) {
    for (PortId port = 0; port < Joined::kPorts; ++port) joined_.plug(port);
    joined_.settle();
    free_mbufs_ = rte_mempool_avail_count(shared_pool());
  }

  static Joined::Options options() {
    Joined::Options options;
    options.slow.bridge.mac_table_size = 12;  // so that addresses are pushed out as well
    return options;
  }
  unsigned any(unsigned n) { return below(random_, n); }
  PortId any_port() { return static_cast<PortId>(any(Joined::kPorts)); }

  VlanConfig random_vlan() {
    using Mode = VlanConfig::Mode;
    const auto tag = static_cast<std::uint16_t>(1 + any(3));
    switch (any(5)) {
      case 0: return {.mode = Mode::access, .tag = tag, .trunks = {}, .native = {}};
      case 1: return {.mode = Mode::dot1q_tunnel, .tag = tag, .trunks = {}, .native = {}};
      case 2: return {.mode = Mode::trunk, .tag = 0, .trunks = {}, .native = static_cast<std::uint16_t>(any(3))};
      case 3: return {.mode = Mode::trunk, .tag = 0, .trunks = {0, 1, 2}, .native = {}};
      default: return {};
    }
  }

  /// A frame of the kinds that a test is about, its last kTail bytes free for the mark.
  virtual Body new_body() = 0;

  Packet random_packet() {
    if (bodies_.size() < 60 && (bodies_.empty() || one_in(random_, 3))) {
      bodies_.push_back(new_body());
    } else if (one_in(random_, 10)) {
      bodies_[any(60) % bodies_.size()] = new_body();
    }
    const Body& body = bodies_[any(static_cast<unsigned>(bodies_.size()))];
    Packet packet;
    packet.number = next_number_++;
    packet.in_port = body.in_port;
    packet.bytes = body.bytes;
    packet.offload = body.offload;
    // Each segment that is made of a frame ends with a mark.
    const std::size_t marks = body.offload.gso_type == 0 ? 1 : kSegmentedPayload / kTail;
    const std::array<std::uint32_t, 2> mark{kMark, packet.number};
    for (std::size_t n = 1; n <= marks; ++n) {
      std::memcpy(packet.bytes.data() + packet.bytes.size() - n * kTail, mark.data(), kTail);
    }
    GuestFrame frame(packet.bytes);
    FlowKey key;
    if (!datapath::parse(frame.frame(), packet.in_port, key)) packet.key = key;
    return packet;
  }

  Outputs carried_out(const Packet& packet, const Actions& actions) {
    GuestFrame frame(packet.bytes, packet.offload);
    reference_.run(frame.frame(), actions);
    reference_.egress.flush();
    Outputs outputs;
    for (PortId port = 0; port < Joined::kPorts; ++port) {
      if (auto frames = reference_.received(port); !frames.empty()) outputs[port] = std::move(frames);
    }
    return outputs;
  }

  /// One of all kinds of change, asked for and not waited for.
  void change() {
    const PortId port = any_port();
    switch (any(12)) {
      case 0:
      case 1:
        if (joined_.plugged(port) || joined_.slow->forgotten(port)) joined_.plug(port, random_vlan());
        changed_port_ = port;
        break;
      case 2:
        if (!joined_.plugged(port)) break;
        joined_.unplug(port);
        absent_.insert(port);
        changed_port_ = port;
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        rules_.push_back(control::testing::random_rule(random_));
        joined_.slow->add_rule(rules_.back());
        break;
      case 7:
      case 8:
      case 9:
        if (!rules_.empty()) joined_.slow->delete_rule(rules_[any(static_cast<unsigned>(rules_.size()))]);
        break;
      case 10: joined_.slow->flush_fdb(port); break;
      default:
        if (!keys_.empty()) joined_.slow->announce(keys_[any(static_cast<unsigned>(keys_.size()))].dl_src, port);
    }
  }

  void ask_pipeline(std::vector<Packet>& packets) {
    for (auto& packet : packets) {
      if (!packet.key || !joined_.plugged(packet.in_port)) continue;
      auto says = joined_.slow->pipeline().decide(*packet.key).actions;
      if (std::ranges::find(packet.answers, says) == packet.answers.end()) packet.answers.push_back(std::move(says));
    }
  }

  void take_outputs(std::vector<Packet>& packets) {
    for (PortId port = 0; port < Joined::kPorts; ++port) {
      for (auto& bytes : joined_.ends[port]->take()) {
        std::array<std::uint32_t, 2> tail;
        ASSERT_GE(bytes.size(), kTail);
        std::memcpy(tail.data(), bytes.data() + bytes.size() - kTail, kTail);
        ASSERT_EQ(tail[0], kMark);
        const auto packet = std::ranges::find(packets, tail[1], &Packet::number);
        ASSERT_NE(packet, packets.end()) << "packet " << tail[1] << " came out of another episode";
        ASSERT_TRUE(packet->sent && packet->key);
        auto& last = last_of_flow_[{std::string(reinterpret_cast<const char*>(&*packet->key), sizeof(FlowKey)), port}];
        ASSERT_LE(last, packet->number) << "overtaken in its flow";
        last = packet->number;
        packet->outputs[port].push_back(std::move(bytes));
      }
    }
  }

  void expect_one_of_the_answers(const Packet& packet) {
    if (!packet.sent) return;
    const auto seen = present(packet.outputs);
    if (seen.empty() && (!packet.key || absent_.contains(packet.in_port))) return;
    std::string answers;
    for (const auto& answer : packet.answers) {
      if (present(carried_out(packet, answer)) == seen) return;
      answers += "\n  " + text(flowtable::ActionList(answer));
    }
    std::string ports;
    for (const auto& [port, frames] : packet.outputs)
      ports += " " + Joined::name(port) + ":" + std::to_string(frames.size());
    FAIL() << "packet " << packet.number << " of " << Joined::name(packet.in_port) << " left by" << ports << "; "
           << "the pipeline said" << answers;
  }
  [[nodiscard]] std::string text(const flowtable::ActionList& list) const {
    return control::format_actions(list, joined_.slow->port_names());
  }
  /// Without the ports that were not there all the time.
  [[nodiscard]] Outputs present(Outputs outputs) const {
    for (const PortId port : absent_) outputs.erase(port);
    return outputs;
  }

  void episode(bool with_changes) {
    absent_.clear();
    for (PortId port = 0; port < Joined::kPorts; ++port) {
      if (!joined_.plugged(port)) absent_.insert(port);
    }
    std::vector<Packet> packets;
    for (unsigned n = 4 + any(16); n != 0; --n) packets.push_back(random_packet());
    ask_pipeline(packets);
    std::size_t next = 0;
    const auto step = [&] {
      switch (any(with_changes ? 7U : 6U)) {
        case 0:
        case 1:
        case 2:
          if (next == packets.size()) break;
          if (joined_.plugged(packets[next].in_port)) {
            packets[next].sent = joined_.ends[packets[next].in_port]->send(packets[next].bytes, packets[next].offload);
            ASSERT_TRUE(packets[next].sent);
          }
          ++next;
          break;
        case 3:
        case 4: joined_.pmd->run_once(joined_.now); break;
        case 5: joined_.step_slow(); break;
        default: change();
      }
    };
    while (next != packets.size()) {
      step();
      ask_pipeline(packets);
      take_outputs(packets);
      if (HasFatalFailure()) return;
    }
    for (bool worked = true; worked;) {
      worked = joined_.pmd->run_once(joined_.now);
      worked |= joined_.step_slow();
      ask_pipeline(packets);
      take_outputs(packets);
      if (HasFatalFailure()) return;
    }
    for (const auto& packet : packets) {
      expect_one_of_the_answers(packet);
      if (HasFatalFailure()) return;
      if (packet.key && std::ranges::find(keys_, *packet.key) == keys_.end()) keys_.push_back(*packet.key);
    }
    rest();
  }

  /// Nothing is on its way: every frame is accounted for, every mbuf is back, every flow says what the pipeline says.
  void rest() {
    ASSERT_EQ(joined_.came(), joined_.went());
    ASSERT_EQ(rte_mempool_avail_count(shared_pool()), free_mbufs_) << "mbufs are missing";
    ASSERT_EQ(joined_.pmd->table().size(), joined_.slow->flow_count());
    for (const auto& key : keys_) {
      const auto seen = look(key);
      if (seen.entry == nullptr) continue;
      ASSERT_NE(seen.decision, nullptr) << "settled, and still pending";
      ASSERT_TRUE(std::ranges::equal(seen.list->actions(), seen.says))
          << "a flow of " << Joined::name(key.in_port) << " says " << text(*seen.list) << ", the pipeline "
          << text(flowtable::ActionList(seen.says));
      ASSERT_TRUE(seen.source_known);
    }
  }

  [[nodiscard]] Seen look(const FlowKey& key) const {
    Seen seen;
    if (!joined_.plugged(key.in_port)) return seen;
    seen.generation = joined_.masked(key).mask_generation;
    seen.inputs = joined_.slow->pipeline().inputs(key);
    const auto outcome = joined_.slow->pipeline().decide(seen.inputs);
    seen.says = outcome.actions;
    const auto fdb = joined_.slow->fdb();
    seen.source_known = std::ranges::all_of(outcome.learn, [&](control::FdbKey source) {
      return std::ranges::any_of(fdb, [&](const auto& e) { return e.key == source && e.port == key.in_port; });
    });
    seen.entry = joined_.find(key);
    if (seen.entry == nullptr) return seen;
    seen.decision = seen.entry->decision;
    seen.packets = seen.entry->own_packets();
    if (seen.decision != nullptr) seen.list = seen.decision->actions();
    return seen;
  }

  /// A change alone: flows that did not depend on it keep entry, decision and counts.
  void change_at_rest() {
    std::vector<Seen> before;
    for (const auto& key : keys_) before.push_back(look(key));
    changed_port_ = flowtable::kNoPort;
    change();
    joined_.settle();
    rest();
    if (HasFatalFailure()) return;
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const auto& was = before[i];
      const auto after = look(keys_[i]);
      const bool depended = was.inputs != after.inputs || was.says != after.says || !after.source_known ||
                            was.generation != after.generation || keys_[i].in_port == changed_port_;
      if (was.entry == nullptr || depended) continue;
      ASSERT_EQ(after.entry, was.entry) << "a flow that did not depend on the change is gone";
      ASSERT_EQ(after.decision, was.decision);
      ASSERT_EQ(after.list, was.list);
      ASSERT_EQ(after.packets, was.packets);
      ++untouched_;
    }
  }

  void obey_the_law() {
    for (int round = 0; round < 80; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      episode(round % 2 != 0);
      if (HasFatalFailure()) return;
      change_at_rest();
      if (HasFatalFailure()) return;
      if (one_in(random_, 8)) joined_.wait(any(400) * kSecond);
      joined_.now += kSecond / 100;
      rest();
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(untouched_, 0U);
    EXPECT_GT(joined_.pmd->counters().hits.get(), 0U);
  }

  Random random_;
  Joined joined_;
  World reference_;
  unsigned free_mbufs_ = 0;
  std::uint32_t next_number_ = 1;
  std::vector<Body> bodies_;  ///< frames that come again
  std::vector<FlowKey> keys_;
  std::vector<control::Rule> rules_;
  std::set<PortId> absent_;  ///< ports that were not there at some time of the episode
  PortId changed_port_ = flowtable::kNoPort;
  std::map<std::pair<std::string, PortId>, std::uint32_t> last_of_flow_;
  std::size_t untouched_ = 0;
};

}  // namespace sluice::test
