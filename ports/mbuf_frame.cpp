#include "ports/mbuf_frame.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include <rte_errno.h>
#include <rte_mbuf.h>

namespace sluice::ports {

namespace {

constexpr std::uint16_t kPrivateSize = RTE_ALIGN(sizeof(Offload), RTE_MBUF_PRIV_ALIGN);
static_assert(RTE_PKTMBUF_HEADROOM >= kHeadroom);
/// What an mbuf takes of memory, with what the pool keeps of it.
constexpr std::size_t kMbufBytes = RTE_MBUF_DEFAULT_BUF_SIZE + sizeof(rte_mbuf) + kPrivateSize + RTE_CACHE_LINE_SIZE;

bool has_private_area(const rte_mbuf* mbuf) { return rte_pktmbuf_priv_size(mbuf->pool) >= kPrivateSize; }

void remember_offload(rte_mbuf* mbuf, const Offload& offload) { new (rte_mbuf_to_priv(mbuf)) Offload(offload); }

/// Copies bytes to the end of a chain of mbufs, which grows as it must.
class Appender {
 public:
  explicit Appender(rte_mbuf* first) : first_(first), last_(first) {}

  [[nodiscard]] bool append(const std::uint8_t* data, std::uint32_t size) {
    while (size != 0) {
      std::uint16_t room = rte_pktmbuf_tailroom(last_);
      if (room == 0) {
        rte_mbuf* const next = rte_pktmbuf_alloc(first_->pool);
        if (next == nullptr) return false;
        next->data_off = 0;
        last_->next = next;
        last_ = next;
        ++first_->nb_segs;
        room = rte_pktmbuf_tailroom(next);
      }
      const auto part = static_cast<std::uint16_t>(std::min<std::uint32_t>(size, room));
      std::memcpy(rte_pktmbuf_mtod_offset(last_, std::uint8_t*, last_->data_len), data, part);
      last_->data_len = static_cast<std::uint16_t>(last_->data_len + part);
      first_->pkt_len += part;
      data += part;
      size -= part;
    }
    return true;
  }

 private:
  rte_mbuf* first_;
  rte_mbuf* last_;
};

/// Ours alone, room in front, and the headers in one piece.
bool is_switchable(const rte_mbuf* mbuf) {
  const bool ours = RTE_MBUF_DIRECT(mbuf) && rte_mbuf_refcnt_read(mbuf) == 1;
  return ours && rte_pktmbuf_headroom(mbuf) >= kHeadroom && (mbuf->nb_segs == 1 || mbuf->data_len >= kHeadSize);
}

/// The same bytes in mbufs that are. Frees `mbuf`; null without memory.
rte_mbuf* laid_out_anew(rte_mbuf* mbuf) {
  rte_mbuf* const copy = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
  if (copy != nullptr && has_private_area(mbuf)) remember_offload(copy, remembered_offload(mbuf));
  rte_pktmbuf_free(mbuf);
  return copy;
}

}  // namespace

void MbufPoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

tl::expected<MbufPool, std::string> make_mbuf_pool(const std::string& name, unsigned count, int numa_node) {
  static_assert(kMbufCache <= RTE_MEMPOOL_CACHE_MAX_SIZE);
  const unsigned cache = std::min(kMbufCache, count / 8);  // small pools have small ones
  rte_mempool* const pool =
      rte_pktmbuf_pool_create(name.c_str(), count, cache, kPrivateSize, RTE_MBUF_DEFAULT_BUF_SIZE, numa_node);
  if (pool == nullptr) {
    const std::size_t megabytes = std::size_t{count} * kMbufBytes / (1U << 20U) + 1;
    return tl::unexpected("mbuf pool '" + name + "': no memory for " + std::to_string(count) + " mbufs of " +
                          std::to_string(RTE_MBUF_DEFAULT_BUF_SIZE) + " bytes (" + rte_strerror(rte_errno) +
                          "); right is " + std::to_string(megabytes) + " MiB more (memory.amount)");
  }
  return MbufPool(pool);
}

rte_mbuf* to_mbuf(const Frame& frame, rte_mempool* pool) {
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
  if (mbuf == nullptr) return nullptr;
  Appender appender(mbuf);
  bool fits = appender.append(frame.head, frame.head_size);
  for (const Segment& piece : std::span(frame.rest, frame.rest_count)) {
    fits = fits && appender.append(piece.data, piece.size);
  }
  if (!fits) {
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  if (has_private_area(mbuf)) remember_offload(mbuf, frame.offload);
  return mbuf;
}

rte_mbuf* take_mbuf(Frame& frame, rte_mempool* pool) {
  rte_mbuf* const mbuf = frame.mbuf;
  if (mbuf == nullptr || !has_private_area(mbuf)) {
    rte_mbuf* const copy = to_mbuf(frame, pool);
    if (copy != nullptr && mbuf != nullptr) rte_pktmbuf_free(mbuf);
    if (copy != nullptr) frame.mbuf = nullptr;
    return copy;
  }
  // Actions move the head, and with it the start of the data.
  mbuf->data_off = static_cast<std::uint16_t>(frame.head - static_cast<std::uint8_t*>(mbuf->buf_addr));
  mbuf->data_len = static_cast<std::uint16_t>(frame.head_size);
  mbuf->pkt_len = frame.size;
  remember_offload(mbuf, frame.offload);
  frame.mbuf = nullptr;
  return mbuf;
}

std::optional<DropReason> from_mbuf(rte_mbuf* mbuf, std::span<Segment> storage, Frame& frame) {
  if (!is_switchable(mbuf)) [[unlikely]] {
    mbuf = laid_out_anew(mbuf);
    if (mbuf == nullptr) return DropReason::rx_no_memory;
  }
  if (mbuf->nb_segs - 1U > storage.size()) [[unlikely]] {
    rte_pktmbuf_free(mbuf);
    return DropReason::rx_chain_too_long;
  }
  frame.head = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
  frame.head_size = mbuf->data_len;
  frame.size = mbuf->pkt_len;
  frame.rest = storage.data();
  frame.rest_count = 0;
  frame.l3_offset = 0;
  frame.l4_offset = 0;
  frame.outputs = 0;
  frame.offload = {};
  frame.mbuf = mbuf;
  for (const rte_mbuf* piece = mbuf->next; piece != nullptr; piece = piece->next) {
    storage[frame.rest_count++] = {rte_pktmbuf_mtod(piece, const std::uint8_t*), piece->data_len};
  }
  return std::nullopt;
}

Offload remembered_offload(const rte_mbuf* mbuf) {
  Offload offload;
  if (has_private_area(mbuf)) {
    std::memcpy(&offload, rte_mbuf_to_priv(const_cast<rte_mbuf*>(mbuf)), sizeof offload);
  }
  return offload;
}

}  // namespace sluice::ports
