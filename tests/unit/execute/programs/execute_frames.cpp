// Carries out actions on frames and prints what comes out, for a test that has a second opinion on it.
//
// A line in is one frame: HEX OFFLOAD CAPABILITIES ACTION...
//   OFFLOAD       "-" or FLAGS:GSO_TYPE:GSO_SIZE:CSUM_START:CSUM_OFFSET, decimal
//   CAPABILITIES  of the port: "-", or any of the letters c (checksum), 4 (TSO, IPv4), 6 (TSO, IPv6)
//   ACTION        NAME, NAME:VALUE or NAME:VALUE:HEX, as flowtable::Action has them; "output" goes to the one port
// and so is one out: the frames that left, in hex; or "dropped REASON".
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "tests/unit/execute/world.hpp"

namespace {

using namespace sluice;
using flowtable::ActionKind;

const std::map<std::string, ActionKind> kKinds{
    {"output", ActionKind::output},
    {"drop", ActionKind::drop},
    {"push_vlan", ActionKind::push_vlan},
    {"pop_vlan", ActionKind::pop_vlan},
    {"set_vlan_vid", ActionKind::set_vlan_vid},
    {"set_vlan_pcp", ActionKind::set_vlan_pcp},
    {"set_dl_src", ActionKind::set_dl_src},
    {"set_dl_dst", ActionKind::set_dl_dst},
    {"set_nw_src", ActionKind::set_nw_src},
    {"set_nw_dst", ActionKind::set_nw_dst},
    {"set_ipv6_src", ActionKind::set_ipv6_src},
    {"set_ipv6_dst", ActionKind::set_ipv6_dst},
    {"set_nw_tos", ActionKind::set_nw_tos},
    {"set_tp_src", ActionKind::set_tp_src},
    {"set_tp_dst", ActionKind::set_tp_dst},
    {"dec_ttl", ActionKind::dec_ttl},
};

test::Bytes from_hex(const std::string& hex) {
  test::Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string to_hex(const test::Bytes& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : bytes) {
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return hex;
}

ports::Offload offload_of(const std::string& text) {
  ports::Offload offload;
  if (text == "-") return offload;
  std::istringstream in(text);
  char colon = 0;
  unsigned flags = 0;
  unsigned gso_type = 0;
  in >> flags >> colon >> gso_type >> colon >> offload.gso_size >> colon >> offload.csum_start >> colon >>
      offload.csum_offset;
  offload.flags = static_cast<std::uint8_t>(flags);
  offload.gso_type = static_cast<std::uint8_t>(gso_type);
  return offload;
}

flowtable::Action action_of(const std::string& text) {
  std::istringstream in(text);
  std::string name;
  std::string value = "0";
  std::string hex;
  std::getline(in, name, ':');
  std::getline(in, value, ':');
  std::getline(in, hex, ':');
  return test::action(kKinds.at(name), static_cast<std::uint16_t>(std::stoul(value)), from_hex(hex));
}

std::string dropped(const test::World& world) {
  for (const auto& counters : world.counters) {
    for (std::size_t i = 0; i < ports::kDropReasons; ++i) {
      const auto reason = static_cast<ports::DropReason>(i);
      if (counters->dropped(reason) != 0) return "dropped " + std::string(name(reason));
    }
  }
  return "nothing";
}

}  // namespace

int main() {
  auto world = std::make_unique<test::World>(1);
  world->view.tx[0].max_frame = 9022;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string hex;
    std::string offload;
    std::string capabilities;
    words >> hex >> offload >> capabilities;
    std::vector<flowtable::Action> actions;
    for (std::string word; words >> word;) actions.push_back(action_of(word));
    const auto has = [&](char letter) { return capabilities.find(letter) != std::string::npos; };
    world->set_capabilities(0, {.checksum = has('c'), .tso4 = has('4'), .tso6 = has('6')});

    test::GuestFrame frame(from_hex(hex), offload_of(offload), 333);
    world->run(frame.frame(), std::move(actions));
    world->egress.flush();

    const auto frames = world->received(0);
    std::string out;
    for (const auto& bytes : frames) out += (out.empty() ? "" : " ") + to_hex(bytes);
    if (world->came() != world->went()) out = "the frames do not add up";
    std::cout << (out.empty() ? dropped(*world) : out) << std::endl;
    for (const auto& counters : world->counters) {
      std::destroy_at(counters.get());
      std::construct_at(counters.get());
    }
  }
}
