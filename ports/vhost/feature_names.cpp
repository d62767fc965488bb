#include "ports/vhost/feature_names.hpp"

#include <array>
#include <bit>
#include <span>
#include <string_view>

namespace sluice::ports::vhost {
namespace {

struct Name {
  unsigned bit;
  std::string_view name;
};

constexpr std::array kFeatureNames = {
    Name{0, "CSUM"},
    Name{1, "GUEST_CSUM"},
    Name{3, "MTU"},
    Name{5, "MAC"},
    Name{6, "GSO"},
    Name{7, "GUEST_TSO4"},
    Name{8, "GUEST_TSO6"},
    Name{9, "GUEST_ECN"},
    Name{10, "GUEST_UFO"},
    Name{11, "HOST_TSO4"},
    Name{12, "HOST_TSO6"},
    Name{13, "HOST_ECN"},
    Name{14, "HOST_UFO"},
    Name{15, "MRG_RXBUF"},
    Name{16, "STATUS"},
    Name{17, "CTRL_VQ"},
    Name{18, "CTRL_RX"},
    Name{19, "CTRL_VLAN"},
    Name{21, "GUEST_ANNOUNCE"},
    Name{22, "MQ"},
    Name{23, "CTRL_MAC_ADDR"},
    Name{24, "NOTIFY_ON_EMPTY"},
    Name{26, "LOG_ALL"},
    Name{27, "ANY_LAYOUT"},
    Name{28, "INDIRECT_DESC"},
    Name{29, "EVENT_IDX"},
    Name{30, "PROTOCOL_FEATURES"},
    Name{32, "VERSION_1"},
    Name{33, "ACCESS_PLATFORM"},
    Name{34, "RING_PACKED"},
    Name{35, "IN_ORDER"},
    Name{36, "ORDER_PLATFORM"},
    Name{37, "SR_IOV"},
    Name{38, "NOTIFICATION_DATA"},
    Name{40, "RING_RESET"},
};

constexpr std::array kProtocolFeatureNames = {
    Name{0, "MQ"},        Name{1, "LOG_SHMFD"}, Name{2, "RARP"},
    Name{3, "REPLY_ACK"}, Name{4, "NET_MTU"},   Name{15, "CONFIGURE_MEM_SLOTS"},
    Name{16, "STATUS"},
};

std::string words(std::uint64_t bits, std::span<const Name> names) {
  std::string text;
  while (bits != 0) {
    const auto bit = static_cast<unsigned>(std::countr_zero(bits));
    bits &= bits - 1;
    std::string word = "bit " + std::to_string(bit);
    for (const Name& name : names) {
      if (name.bit == bit) word = name.name;
    }
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

}  // namespace

std::string feature_names(std::uint64_t features) { return words(features, kFeatureNames); }

std::string protocol_feature_names(std::uint64_t features) { return words(features, kProtocolFeatureNames); }

}  // namespace sluice::ports::vhost
