// Frames in mbufs: for frames that outlive their burst or leave through an ethdev, and back.
//
// Pools made here give each mbuf a private area in which a kept frame's Offload is remembered. Any thread; a thread
// that is not DPDK's own should be registered (eal.hpp), or it goes to the shared ring for each mbuf.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <tl/expected.hpp>

#include "ports/drop_reason.hpp"
#include "ports/frame.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace sluice::ports {

struct MbufPoolDeleter {
  void operator()(rte_mempool* pool) const;
};
using MbufPool = std::unique_ptr<rte_mempool, MbufPoolDeleter>;

/// The most mbufs of a pool that a thread's cache is for; it may hold half as much again (rte_mempool).
inline constexpr unsigned kMbufCache = 256;
/// What one thread may hold of a pool beside what it keeps: its cache, a burst, and one that is transmitted.
inline constexpr unsigned kHeldByAThread = kMbufCache + kMbufCache / 2 + 2 * kBurstSize;

/// A pool of `count` mbufs of 2 KiB of data each, on `numa_node` (-1: any). `name` must be unused and at most 25
/// characters. The error says what DPDK said.
[[nodiscard]] tl::expected<MbufPool, std::string> make_mbuf_pool(const std::string& name, unsigned count,
                                                                 int numa_node);

/// Copies a frame, its Offload too, into mbufs of `pool`, as many as it takes. Null if the pool is empty. The
/// frame's own mbuf is left alone.
[[nodiscard]] rte_mbuf* to_mbuf(const Frame& frame, rte_mempool* pool);

/// Takes the mbuf that `frame` is in, with its head as it is now and its Offload remembered; copies if it is in
/// none. `frame` must not be used afterwards. Null, and the frame unchanged, if the pool is empty.
[[nodiscard]] rte_mbuf* take_mbuf(Frame& frame, rte_mempool* pool);

/// Makes `frame` the frame that is in `mbuf`: the head is the first segment's data, with kHeadroom writable bytes in
/// front and, if the frame has as many, at least kHeadSize bytes long; the rest is the segments behind it, put in
/// `storage`. Data is moved only where that was not so. On success the mbuf belongs to the frame; on failure it is
/// freed and the reason returned. offload is left empty.
[[nodiscard]] std::optional<DropReason> from_mbuf(rte_mbuf* mbuf, std::span<Segment> storage, Frame& frame);

/// What to_mbuf or take_mbuf remembered.
[[nodiscard]] Offload remembered_offload(const rte_mbuf* mbuf);

}  // namespace sluice::ports
