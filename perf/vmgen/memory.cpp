#include "perf/vmgen/memory.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace sluice::vmgen {
namespace {

constexpr unsigned kCache = 256;
constexpr std::uint32_t kMergeableBuffer = 2048;
constexpr std::uint32_t kTsoMergeableBuffer = 4096;  ///< a page: what Linux gives once frames are large
constexpr std::uint32_t kSpareHeads = 2 * RTE_MEMPOOL_CACHE_MAX_SIZE;
constexpr std::uint32_t kHeadsInHand = 4 * 32;  ///< of one sender: to be written next, or waiting for room in a ring

/// Elements of a pool, and the bytes that each holds.
struct Shape {
  std::uint32_t count;
  std::uint32_t room;  ///< behind the headroom

  [[nodiscard]] std::uint64_t bytes() const {
    return std::uint64_t{count} * (sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM + room + RTE_CACHE_LINE_SIZE);
  }
};

std::uint32_t ring_slots(const Options& options) {
  std::uint32_t slots = 0;
  for (const VmOptions& vm : options.vms) slots += std::uint32_t{vm.queues} * vm.queue_size;
  return slots;
}

Shape heads_of(const Options& options) {
  const std::uint32_t room = options.tso != 0 ? kTsoHead : options.largest_frame();
  return {ring_slots(options) + kSpareHeads + kHeadsInHand * static_cast<std::uint32_t>(options.vms.size()),
          RTE_ALIGN_CEIL(room, 64U)};
}

/// A piece takes a slot of its ring, but where the driver makes indirect tables: there a frame takes one, in how many
/// pieces it may be, and is freed when its slot is needed again.
Shape bodies_of(const Options& options) {
  if (options.tso == 0) return {0, kBodyPiece};
  const std::uint32_t pieces = (options.tso + kBodyPiece - 1) / kBodyPiece;
  std::uint32_t count = 2 * kCache;
  for (const VmOptions& vm : options.vms) {
    const bool indirect = vm.packed || !vm.in_order;
    count += std::uint32_t{vm.queues} * vm.queue_size * (indirect ? pieces : 1);
  }
  return {count, kBodyPiece};
}

Shape receive_of(const Options& options, const VmOptions& vm) {
  const std::uint32_t whole = RTE_ALIGN_CEIL(std::max(options.largest_frame(), kMergeableBuffer), 64U);
  const std::uint32_t part = options.tso != 0 ? kTsoMergeableBuffer : kMergeableBuffer;
  return {std::uint32_t{vm.queues} * vm.queue_size + 2 * kCache, vm.mergeable ? part : whole};
}

Expected<Pool> make_pool(const std::string& name, const Shape& shape) {
  Pool pool{rte_pktmbuf_pool_create(name.c_str(), shape.count, kCache, 0,
                                    static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + shape.room), 0),
            rte_mempool_free};
  if (!pool) {
    return tl::make_unexpected("no memory for " + std::to_string(shape.bytes() >> 20) + " MB of frames (" + name +
                               "): " + rte_strerror(rte_errno) + "; --memory gives more");
  }
  return pool;
}

unsigned needed_mb(const Options& options) {
  std::uint64_t bytes = heads_of(options).bytes() + bodies_of(options).bytes();
  for (const VmOptions& vm : options.vms) {
    bytes += receive_of(options, vm).bytes() + std::uint64_t{vm.queues} * vm.queue_size * 512;
  }
  return static_cast<unsigned>((bytes + bytes / 8) >> 20) + 24;
}

}  // namespace

Expected<void> start_eal(const Options& options) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(options.core, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) {
    return tl::make_unexpected("--core " + std::to_string(options.core) + ": " + std::strerror(errno));
  }
  const unsigned megabytes = options.memory_mb != 0 ? options.memory_mb : needed_mb(options);
  std::vector<std::string> words{"vmgen",
                                 "--no-pci",
                                 "--in-memory",
                                 "--single-file-segments",
                                 "--no-telemetry",
                                 "--lcores=0@" + std::to_string(options.core),
                                 "-m",
                                 std::to_string(megabytes),
                                 "--file-prefix=vmgen" + std::to_string(getpid()),
                                 "--log-level=lib.eal:warning"};
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    return tl::make_unexpected(std::string{"the EAL does not start: "} + rte_strerror(rte_errno) + "; are there " +
                               std::to_string((megabytes + 1) / 2) + " free hugepages of 2 MiB?");
  }
  return {};
}

Expected<Pools> make_pools(const Options& options) {
  Pools pools;
  auto heads = make_pool("heads", heads_of(options));
  if (!heads) return tl::make_unexpected(heads.error());
  pools.heads = std::move(*heads);
  if (options.tso != 0) {
    auto bodies = make_pool("bodies", bodies_of(options));
    if (!bodies) return tl::make_unexpected(bodies.error());
    pools.bodies = std::move(*bodies);
  }
  for (const VmOptions& vm : options.vms) {
    auto receive = make_pool("receive_" + vm.name, receive_of(options, vm));
    if (!receive) return tl::make_unexpected(receive.error());
    pools.receive.push_back(std::move(*receive));
  }
  return pools;
}

}  // namespace sluice::vmgen
