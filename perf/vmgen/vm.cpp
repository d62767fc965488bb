#include "perf/vmgen/vm.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

namespace sluice::vmgen {
namespace {

/// DPDK has this as a negative number and takes it as an unsigned one.
constexpr auto kAnyNode = static_cast<unsigned>(SOCKET_ID_ANY);
constexpr std::uint16_t kTxKeptUsed = 64;  ///< sent frames that the driver leaves in the ring before it frees any

/// Turns that the bursting thread has begun; odd numbers never: 0 is "does not burst".
std::atomic<std::uint64_t> turns{0};
std::atomic<bool> bursting{false};

/// For rte_delay_us(): at least `us`, and until a turn that was under way has ended.
void delay(unsigned us) {
  const std::uint64_t before = turns.load(std::memory_order_acquire);
  usleep(us);
  while (bursting.load(std::memory_order_acquire) && turns.load(std::memory_order_acquire) == before) usleep(50);
}

std::string device_of(std::size_t number) { return "net_virtio_user" + std::to_string(number); }

std::string arguments_of(const VmOptions& vm) {
  const auto flag = [](const char* name, bool on) { return std::string{","} + name + (on ? "=1" : "=0"); };
  return "path=" + vm.path + ",mac=" + to_string(vm.mac) + ",queues=" + std::to_string(vm.queues) +
         ",queue_size=" + std::to_string(vm.queue_size) + flag("server", vm.server) + flag("packed_vq", vm.packed) +
         flag("mrg_rxbuf", vm.mergeable) + flag("in_order", vm.in_order);
}

bool is_socket(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

/// The port's configuration; an error if the switch does not offer what it needs.
Expected<rte_eth_conf> configuration_of(const Options& options, const rte_eth_dev_info& info) {
  rte_eth_conf conf{};
  conf.intr_conf.lsc = (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
  const std::uint32_t mtu = options.tso != 0 ? 1500 : std::max(options.largest_frame(), 1514U) - 14;
  conf.rxmode.mtu = mtu;
  if (options.checksum_offload) {
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  }
  if (options.tso != 0) {
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
  }
  if ((conf.txmode.offloads & ~info.tx_offload_capa) != 0 || (conf.rxmode.offloads & ~info.rx_offload_capa) != 0) {
    return tl::make_unexpected(std::string{"the switch does not offer "} +
                               (options.tso != 0 ? "TSO both ways (--tso)" : "checksum offload (--checksum-offload)"));
  }
  conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
  return conf;
}

/// Queues, then start.
Expected<void> start(const Options& options, const VmOptions& vm, std::uint16_t port, rte_mempool& receive_pool) {
  const auto failed = [&](const char* what, int error) {
    return tl::make_unexpected(vm.name + " (" + vm.path + "): " + what + ": " + rte_strerror(-error));
  };
  rte_eth_dev_info info{};
  if (int error = rte_eth_dev_info_get(port, &info); error != 0) return failed("its properties", error);
  const auto conf = configuration_of(options, info);
  if (!conf) return tl::make_unexpected(vm.name + " (" + vm.path + "): " + conf.error());
  if (int error = rte_eth_dev_configure(port, vm.queues, vm.queues, &*conf); error != 0) {
    return failed("its configuration", error);
  }
  rte_eth_rxconf rx = info.default_rxconf;
  rx.offloads = conf->rxmode.offloads;
  rte_eth_txconf tx = info.default_txconf;
  tx.offloads = conf->txmode.offloads;
  // Sent frames are freed early: fewer frames go round, and they stay in the cache.
  tx.tx_free_thresh =
      static_cast<std::uint16_t>(vm.queue_size - std::min<std::uint16_t>(kTxKeptUsed, vm.queue_size / 2));
  for (std::uint16_t queue = 0; queue < vm.queues; ++queue) {
    if (int error = rte_eth_rx_queue_setup(port, queue, vm.queue_size, kAnyNode, &rx, &receive_pool); error != 0) {
      return failed("its Rx queue", error);
    }
    if (int error = rte_eth_tx_queue_setup(port, queue, vm.queue_size, kAnyNode, &tx); error != 0) {
      return failed("its Tx queue", error);
    }
  }
  if (int error = rte_eth_dev_start(port); error != 0) return failed("its start", error);
  return {};
}

}  // namespace

Expected<Vm> Vm::open(const Options& options, std::size_t number, rte_mempool& receive_pool, bool (*give_up)()) {
  const VmOptions& vm = options.vms[number];
  const std::string device = device_of(number);
  while (!vm.server && !is_socket(vm.path)) {
    if (give_up()) return tl::make_unexpected(vm.name + ": no switch has made the socket " + vm.path);
    usleep(1000);
  }
  if (vm.server) unlink(vm.path.c_str());  // of a forerunner
  while (rte_eal_hotplug_add("vdev", device.c_str(), arguments_of(vm).c_str()) != 0) {
    // A socket that nobody listens on yet is worth another try; one that cannot be made is not.
    if (vm.server || give_up()) return tl::make_unexpected(vm.name + ": cannot be attached to " + vm.path);
    usleep(10'000);
  }
  std::uint16_t port = kNone;
  if (int error = rte_eth_dev_get_port_by_name(device.c_str(), &port); error != 0) {
    return tl::make_unexpected(vm.name + ": has no port: " + rte_strerror(-error));
  }
  Vm opened{vm, port};
  if (auto started = start(options, vm, port, receive_pool); !started) return tl::make_unexpected(started.error());
  return opened;
}

Vm::~Vm() {
  if (port_ == kNone) return;
  rte_eth_dev_stop(port_);
  rte_eth_dev_close(port_);
  if (options_->server) unlink(options_->path.c_str());
}

bool Vm::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

void wait_for_turns_in_delays() { rte_delay_us_callback_register(delay); }

void between_turns() {
  turns.store(turns.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  bursting.store(true, std::memory_order_release);
}

void no_turns() { bursting.store(false, std::memory_order_release); }

}  // namespace sluice::vmgen
