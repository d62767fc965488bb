#include "ports/port_pools.hpp"

#include <algorithm>
#include <utility>

#include <rte_mempool.h>

#include "ports/frame.hpp"

namespace sluice::ports {

namespace {

std::size_t bytes_of(const rte_mempool& pool) { return std::size_t{pool.size} * pool.elt_size; }

}  // namespace

tl::expected<rte_mempool*, std::string> PortPools::make(const std::string& port, unsigned descriptors, int numa_node) {
  // The control thread fills Rx rings when a device starts.
  const unsigned count = descriptors + static_cast<unsigned>(threads_ + 1) * kHeldByAThread;
  static unsigned made = 0;  // names are the process's
  const std::string name = "sluice_port_" + std::to_string(made++);
  auto pool = make_mbuf_pool(name, count, numa_node);
  if (!pool && numa_node >= 0) pool = make_mbuf_pool(name, count, -1);
  if (!pool) return tl::unexpected(pool.error());
  pools_.push_back({port, std::move(*pool)});
  return pools_.back().pool.get();
}

void PortPools::retire(rte_mempool* pool) {
  for (Entry& entry : pools_) entry.retired |= entry.pool.get() == pool;
}

void PortPools::discard(rte_mempool* pool) {
  std::erase_if(pools_, [pool](const Entry& entry) { return entry.pool.get() == pool; });
}

void PortPools::discard_retired() {
  std::erase_if(pools_, [](const Entry& entry) { return entry.retired; });
}

void PortPools::collect(const std::function<void()>& wait_for_pmds) {
  const auto full = [](Entry& entry) { return entry.retired && rte_mempool_full(entry.pool.get()) == 1; };
  if (std::any_of(pools_.begin(), pools_.end(), full)) {
    // A PMD may be about to finish what gave the last one back. And what is counted while mbufs move may be wrong,
    // but none moves any more once all have come back.
    std::vector<rte_mempool*> seen;
    for (Entry& entry : pools_) {
      if (full(entry)) seen.push_back(entry.pool.get());
    }
    wait_for_pmds();
    std::erase_if(pools_, [&](Entry& entry) {
      return std::find(seen.begin(), seen.end(), entry.pool.get()) != seen.end() && full(entry);
    });
  }
  for (Entry& entry : pools_) entry.looks += entry.retired;
}

std::vector<PortPools::Retired> PortPools::retired() const {
  std::vector<Retired> out;
  for (const Entry& entry : pools_) {
    if (entry.retired) out.push_back({entry.port, rte_mempool_in_use_count(entry.pool.get()), entry.looks});
  }
  return out;
}

PortPools::Usage PortPools::usage() const {
  Usage sum;
  for (const Entry& entry : pools_) {
    sum.mbufs += entry.pool->size;
    sum.free += rte_mempool_avail_count(entry.pool.get());
    sum.bytes += bytes_of(*entry.pool);
  }
  return sum;
}

}  // namespace sluice::ports
