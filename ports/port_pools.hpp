// PortPools: the mbuf pools of ports that are ethdevs, one each, so that no port can take the buffers that others need.
//
// A port that goes leaves its pool behind: frames that came through it may still wait in a PMD, or in another device's
// Tx ring. The pool is freed when the last has come back, which collect() finds out. Control thread.
//
// Owns the pools; outlives the ports, and PMDs, which may hold mbufs.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "ports/mbuf_frame.hpp"

namespace sluice::ports {

class PortPools {
 public:
  /// `threads`: how many PMDs there are; each may keep some of a pool's mbufs in a cache of its own.
  explicit PortPools(std::size_t threads) : threads_(threads) {}

  /// A pool for a port whose rings have `descriptors` all together, Rx and Tx, on `numa_node` (-1: any), or where there
  /// is memory. The error says how much was wanted.
  [[nodiscard]] tl::expected<rte_mempool*, std::string> make(const std::string& port, unsigned descriptors,
                                                             int numa_node);
  /// The port is gone, and so is its device.
  void retire(rte_mempool* pool);
  /// The same, and no frame ever came through it: what has not come back (the driver of af_xdp forgets buffers where it
  /// cannot have a queue) nobody has.
  void discard(rte_mempool* pool);
  /// The same of all that are retired: no frame is anywhere.
  void discard_retired();

  /// Frees the retired pools that all mbufs have come back to. `wait_for_pmds` returns when each PMD has finished a
  /// loop.
  void collect(const std::function<void()>& wait_for_pmds);

  struct Retired {
    std::string port;
    std::size_t missing;  ///< mbufs that have not come back
    unsigned looks;       ///< how often collect() has found some missing
  };
  [[nodiscard]] std::vector<Retired> retired() const;

  struct Usage {
    std::size_t mbufs = 0, free = 0, bytes = 0;
  };
  /// Of all pools, retired ones too.
  [[nodiscard]] Usage usage() const;

 private:
  struct Entry {
    std::string port;
    MbufPool pool;
    bool retired = false;
    unsigned looks = 0;
  };

  const std::size_t threads_;
  std::vector<Entry> pools_;
};

}  // namespace sluice::ports
