// The vhost-user protocol's messages: numbers, layouts and what each may carry, by QEMU's "Vhost-user Protocol"
// document; the names are its names. All fields are in the machine's byte order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ports/vhost/guest_memory.hpp"

namespace sluice::ports::vhost {

enum class Request : std::uint32_t {
  get_features = 1,
  set_features = 2,
  set_owner = 3,
  reset_owner = 4,
  set_mem_table = 5,
  set_log_base = 6,
  set_log_fd = 7,
  set_vring_num = 8,
  set_vring_addr = 9,
  set_vring_base = 10,
  get_vring_base = 11,
  set_vring_kick = 12,
  set_vring_call = 13,
  set_vring_err = 14,
  get_protocol_features = 15,
  set_protocol_features = 16,
  get_queue_num = 17,
  set_vring_enable = 18,
  send_rarp = 19,
  net_set_mtu = 20,
  get_max_mem_slots = 36,
  add_mem_reg = 37,
  rem_mem_reg = 38,
  set_status = 39,
  get_status = 40,
};

/// Protocol feature bits (VHOST_USER_PROTOCOL_F_*): those that are offered.
namespace protocol_feature {
inline constexpr std::uint64_t kMq = 1ULL << 0;
inline constexpr std::uint64_t kLogShmfd = 1ULL << 1;
inline constexpr std::uint64_t kRarp = 1ULL << 2;
inline constexpr std::uint64_t kReplyAck = 1ULL << 3;
inline constexpr std::uint64_t kNetMtu = 1ULL << 4;
inline constexpr std::uint64_t kConfigureMemSlots = 1ULL << 15;
inline constexpr std::uint64_t kStatus = 1ULL << 16;
}  // namespace protocol_feature

struct MessageHeader {
  std::uint32_t request;
  std::uint32_t flags;
  std::uint32_t size;  ///< of the payload, in bytes
};
static_assert(sizeof(MessageHeader) == 12);

inline constexpr std::uint32_t kVersionMask = 3;
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kReplyFlag = 1U << 2;
inline constexpr std::uint32_t kNeedReplyFlag = 1U << 3;

struct VringState {
  std::uint32_t index;
  std::uint32_t num;
};
static_assert(sizeof(VringState) == 8);

struct VringAddress {
  std::uint32_t index;
  std::uint32_t flags;
  std::uint64_t descriptor;
  std::uint64_t used;
  std::uint64_t available;
  std::uint64_t log;
};
static_assert(sizeof(VringAddress) == 40);
inline constexpr std::uint32_t kVringLogFlag = 1;  ///< VHOST_VRING_F_LOG

struct MemoryTableHeader {
  std::uint32_t regions;
  std::uint32_t padding;
};
static_assert(sizeof(MemoryTableHeader) == 8 && sizeof(MemoryRegion) == 32);

struct SingleRegion {
  std::uint64_t padding;
  MemoryRegion region;
};
static_assert(sizeof(SingleRegion) == 40);

struct LogDescription {
  std::uint64_t size;
  std::uint64_t offset;
};
static_assert(sizeof(LogDescription) == 16);

/// Of SET_VRING_KICK, CALL and ERR: the ring's index and whether an fd comes along.
inline constexpr std::uint64_t kVringIndexMask = 0xff;
inline constexpr std::uint64_t kVringNoFdFlag = 0x100;

/// The document's region0 to region7; more come one at a time, by ADD_MEM_REG.
inline constexpr std::size_t kMaxTableRegions = 8;
inline constexpr std::size_t kMaxMessageFds = 8;
inline constexpr std::size_t kMaxPayload = sizeof(MemoryTableHeader) + kMaxTableRegions * sizeof(MemoryRegion);

/// What a message may look like, before its content is looked at.
struct MessageShape {
  Request request;
  std::string_view name;
  std::uint32_t min_size;  ///< of the payload
  std::uint32_t max_size;
  std::uint32_t min_fds;
  std::uint32_t max_fds;
  std::uint64_t needs;  ///< protocol feature that must have been negotiated; 0: none
  bool replies;         ///< has a reply of its own, so that NEED_REPLY changes nothing
};

inline constexpr std::uint32_t kU64 = sizeof(std::uint64_t);

// clang-format off
inline constexpr std::array kMessageShapes = {
    MessageShape{Request::get_features, "GET_FEATURES", 0, 0, 0, 0, 0, true},
    MessageShape{Request::set_features, "SET_FEATURES", kU64, kU64, 0, 0, 0, false},
    MessageShape{Request::set_owner, "SET_OWNER", 0, 0, 0, 0, 0, false},
    MessageShape{Request::reset_owner, "RESET_OWNER", 0, 0, 0, 0, 0, false},
    MessageShape{Request::set_mem_table, "SET_MEM_TABLE", sizeof(MemoryTableHeader), kMaxPayload, 0, kMaxTableRegions, 0, false},
    MessageShape{Request::set_log_base, "SET_LOG_BASE", sizeof(LogDescription), sizeof(LogDescription), 1, 1, protocol_feature::kLogShmfd, true},
    MessageShape{Request::set_log_fd, "SET_LOG_FD", 0, kU64, 1, 1, 0, false},
    MessageShape{Request::set_vring_num, "SET_VRING_NUM", sizeof(VringState), sizeof(VringState), 0, 0, 0, false},
    MessageShape{Request::set_vring_addr, "SET_VRING_ADDR", sizeof(VringAddress), sizeof(VringAddress), 0, 0, 0, false},
    MessageShape{Request::set_vring_base, "SET_VRING_BASE", sizeof(VringState), sizeof(VringState), 0, 0, 0, false},
    MessageShape{Request::get_vring_base, "GET_VRING_BASE", sizeof(VringState), sizeof(VringState), 0, 0, 0, true},
    MessageShape{Request::set_vring_kick, "SET_VRING_KICK", kU64, kU64, 0, 1, 0, false},
    MessageShape{Request::set_vring_call, "SET_VRING_CALL", kU64, kU64, 0, 1, 0, false},
    MessageShape{Request::set_vring_err, "SET_VRING_ERR", kU64, kU64, 0, 1, 0, false},
    MessageShape{Request::get_protocol_features, "GET_PROTOCOL_FEATURES", 0, 0, 0, 0, 0, true},
    MessageShape{Request::set_protocol_features, "SET_PROTOCOL_FEATURES", kU64, kU64, 0, 0, 0, false},
    MessageShape{Request::get_queue_num, "GET_QUEUE_NUM", 0, 0, 0, 0, 0, true},
    MessageShape{Request::set_vring_enable, "SET_VRING_ENABLE", sizeof(VringState), sizeof(VringState), 0, 0, 0, false},
    MessageShape{Request::send_rarp, "SEND_RARP", kU64, kU64, 0, 0, protocol_feature::kRarp, false},
    MessageShape{Request::net_set_mtu, "NET_SET_MTU", kU64, kU64, 0, 0, protocol_feature::kNetMtu, false},
    MessageShape{Request::get_max_mem_slots, "GET_MAX_MEM_SLOTS", 0, 0, 0, 0, 0, true},
    MessageShape{Request::add_mem_reg, "ADD_MEM_REG", sizeof(SingleRegion), sizeof(SingleRegion), 1, 1, protocol_feature::kConfigureMemSlots, false},
    // One fd is taken and closed: the document asks that of back-ends for the sake of front-ends that send it.
    MessageShape{Request::rem_mem_reg, "REM_MEM_REG", sizeof(SingleRegion), sizeof(SingleRegion), 0, 1, protocol_feature::kConfigureMemSlots, false},
    MessageShape{Request::set_status, "SET_STATUS", kU64, kU64, 0, 0, protocol_feature::kStatus, false},
    MessageShape{Request::get_status, "GET_STATUS", 0, 0, 0, 0, protocol_feature::kStatus, true},
};

/// Messages of features that are not offered; a front end that sends one is told so by name.
struct NotOffered {
  std::uint32_t request;
  std::string_view name;
};
inline constexpr std::array kNotOffered = {
    NotOffered{21, "SET_SLAVE_REQ_FD"},      NotOffered{22, "IOTLB_MSG"},
    NotOffered{23, "SET_VRING_ENDIAN"},      NotOffered{24, "GET_CONFIG"},
    NotOffered{25, "SET_CONFIG"},            NotOffered{26, "CREATE_CRYPTO_SESSION"},
    NotOffered{27, "CLOSE_CRYPTO_SESSION"},  NotOffered{28, "POSTCOPY_ADVISE"},
    NotOffered{29, "POSTCOPY_LISTEN"},       NotOffered{30, "POSTCOPY_END"},
    NotOffered{31, "GET_INFLIGHT_FD"},       NotOffered{32, "SET_INFLIGHT_FD"},
    NotOffered{33, "GPU_SET_SOCKET"},        NotOffered{34, "RESET_DEVICE"},
    NotOffered{35, "VRING_KICK"},
};
// clang-format on

/// Null if there is no such message, or none that is offered.
[[nodiscard]] constexpr const MessageShape* shape_of(std::uint32_t request) {
  for (const MessageShape& shape : kMessageShapes) {
    if (static_cast<std::uint32_t>(shape.request) == request) return &shape;
  }
  return nullptr;
}

}  // namespace sluice::ports::vhost
