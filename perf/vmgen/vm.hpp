// Vm: one virtual machine, a virtio-user port. Owns the port. Opened and driven by the main thread; the EAL's interrupt
// thread keeps its link state, and takes a switch that comes back.
#pragma once

#include <cstdint>
#include <utility>

#include "perf/vmgen/options.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace sluice::vmgen {

class Vm {
 public:
  /// In server mode, returns when a switch has connected; as a client, when it could. `give_up` is asked now and then.
  static Expected<Vm> open(const Options& options, std::size_t number, rte_mempool& receive_pool, bool (*give_up)());

  Vm(Vm&& other) noexcept : options_{other.options_}, port_{std::exchange(other.port_, kNone)} {}
  Vm& operator=(Vm&&) = delete;
  ~Vm();

  [[nodiscard]] const VmOptions& options() const { return *options_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] bool link_up() const;

 private:
  static constexpr std::uint16_t kNone = 0xffff;

  Vm(const VmOptions& options, std::uint16_t port) : options_{&options}, port_{port} {}

  const VmOptions* options_;
  std::uint16_t port_;
};

/// The driver's interrupt thread, when a switch has come back to a packed ring, stops the port, waits a fixed time for
/// bursts under way, and sets the ring anew. On a core that it shares with the thread that bursts, time alone does not
/// tell: these make it wait until that thread has been seen outside.
void wait_for_turns_in_delays();
/// The bursting thread says that it is outside of any burst.
void between_turns();
/// It does not burst for now, or never again.
void no_turns();

}  // namespace sluice::vmgen
