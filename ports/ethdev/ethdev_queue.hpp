// EthdevQueue: one Rx and Tx queue pair of a DPDK ethdev. The verbs run on a PMD.
#pragma once

#include <cstdint>
#include <span>

#include "ports/counters.hpp"
#include "ports/frame.hpp"

struct rte_mempool;

namespace sluice::ports::ethdev {

class Pacer;

struct alignas(64) EthdevQueue {
  std::uint16_t device;  ///< DPDK's port id
  std::uint16_t queue;
  rte_mempool* pool;  ///< the port's own: for its Rx ring, and for frames to be sent that are in no mbuf
  TxCapabilities tx;
  std::uint32_t max_frame;  ///< bytes: what the device takes, MTU and Ethernet header
  bool chains = true;       ///< the device sends frames of more than one mbuf
  Pacer* pacer = nullptr;   ///< null: frames are received as fast as the device has them
};

void receive(EthdevQueue& queue, Burst& burst, PortCounters& counters);
void release(EthdevQueue& queue, Burst& burst);
void transmit(EthdevQueue& queue, std::span<Frame* const> frames, PortCounters& counters);
[[nodiscard]] inline TxCapabilities tx_capabilities(const EthdevQueue& queue) { return queue.tx; }

}  // namespace sluice::ports::ethdev
