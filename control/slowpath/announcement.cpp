#include "control/slowpath/announcement.hpp"

#include "control/slowpath/vlan.hpp"

namespace sluice::control {

using flowtable::MacAddress;

namespace {

constexpr std::size_t kMinFrame = 60;  // IEEE 802.3, without FCS
constexpr std::uint16_t kVlans = 4095;

void put16(std::vector<std::uint8_t>& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8U));
  bytes.push_back(static_cast<std::uint8_t>(value & 0xffU));
}

void put(std::vector<std::uint8_t>& bytes, const MacAddress& mac) {
  bytes.insert(bytes.end(), mac.bytes.begin(), mac.bytes.end());
}

}  // namespace

std::vector<std::uint16_t> announced_vlans(const VlanConfig& port, const Fdb& fdb, const MacAddress& mac) {
  std::vector<std::uint16_t> vlans;
  if (const auto untagged = admit(port, Tag{})) vlans.push_back(untagged->vlan);
  if (port.mode != VlanConfig::Mode::trunk) return vlans;
  const bool all_listed = !port.trunks.empty() && port.trunks.size() < kMaxAnnouncedVlans;
  const std::size_t untagged = vlans.size();
  // VLAN 0 has no tag of its own: it is that of untagged frames, or not to be had.
  for (std::uint16_t vlan = 1; vlan < kVlans && vlans.size() < kMaxAnnouncedVlans; ++vlan) {
    if (!carries(port, vlan) || (untagged != 0 && vlan == vlans.front())) continue;
    if (all_listed || fdb.lookup(fdb_key(vlan, mac))) vlans.push_back(vlan);
  }
  return vlans;
}

std::vector<std::uint8_t> rarp_frame(const MacAddress& mac, std::optional<std::uint16_t> tag) {
  constexpr std::uint16_t kDot1q = 0x8100;
  constexpr std::uint16_t kRarp = 0x8035;
  constexpr std::uint16_t kEthernet = 1;
  constexpr std::uint16_t kIpv4 = 0x0800;
  constexpr std::uint16_t kRequestReverse = 3;
  constexpr std::size_t kTag = 4;
  std::vector<std::uint8_t> bytes(sizeof mac.bytes, 0xff);
  bytes.reserve(kMinFrame + kTag);
  put(bytes, mac);
  if (tag) {
    put16(bytes, kDot1q);
    put16(bytes, *tag);
  }
  put16(bytes, kRarp);
  put16(bytes, kEthernet);
  put16(bytes, kIpv4);
  bytes.push_back(sizeof mac.bytes);
  bytes.push_back(4);
  put16(bytes, kRequestReverse);
  put(bytes, mac);
  bytes.insert(bytes.end(), 4, 0);  // the sender's IP address is not known
  put(bytes, mac);
  bytes.resize(kMinFrame + (tag ? kTag : 0));
  return bytes;
}

}  // namespace sluice::control
