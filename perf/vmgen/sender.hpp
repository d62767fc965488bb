// Sender: one VM's sending side: makes frames when they are due and puts them into its rings. Owns the frames that wait
// for room in a ring. The main thread's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "perf/vmgen/memory.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/pacer.hpp"
#include "perf/vmgen/stream.hpp"
#include "perf/vmgen/vm.hpp"

namespace sluice::vmgen {

constexpr std::uint32_t kBurst = 32;
constexpr unsigned kMostBursts = 4;  ///< that a VM sends, or takes from a queue, before another has its turn

struct SenderCounts {
  std::uint64_t sent = 0;  ///< frames that wait for room included, while it runs
  std::uint64_t sent_bytes = 0;
  std::uint64_t refused = 0;
  std::uint64_t refused_new = 0;  ///< of these, of new flows
  std::uint64_t skipped = 0;
  std::uint64_t bursts = 0;
  std::uint64_t bursts_refused = 0;
};

class Sender {
 public:
  Sender(const Options& options, const Vm& vm, std::size_t number, Pools& pools);
  Sender(Sender&&) = default;
  ~Sender();

  /// A new run: counts from zero.
  void begin(std::uint8_t run);
  /// The clock starts. `rate` 0: as fast as the rings take them.
  void pace(double rate, std::uint64_t now);
  struct Turn {
    std::uint32_t taken = 0;  ///< frames that the rings took
    std::uint32_t bursts = 0;
    std::uint32_t bursts_refused = 0;  ///< of these, for which there was not enough room
  };
  /// Makes and sends what is due: one burst for each queue, or, without a rate, kMostBursts, of at most `room` new
  /// frames.
  Turn turn(std::uint64_t now, std::uint32_t room);
  /// Nothing more: frames that still wait for room were never sent.
  void end();
  /// A frame that is not counted to each receiver, and one to everybody, so that the switch learns who is where.
  void greet(std::uint64_t now);

  [[nodiscard]] SenderCounts counts() const;
  [[nodiscard]] const std::vector<Stream>& streams() const { return streams_; }

 private:
  /// Frames for one queue of the VM, oldest first.
  struct Outbox {
    std::array<rte_mbuf*, std::size_t{2} * kBurst> frames;
    std::uint32_t count = 0;
  };

  [[nodiscard]] std::uint32_t most_now() const;
  /// Gets buffers for the next bursts; false if there is no memory for them. They are on the switch's core, which has
  /// read them last, and come over while others have their turns.
  bool refill();
  void send_burst(std::uint64_t now, std::uint32_t& room, Turn& turn);
  void make(std::uint32_t due, std::uint32_t due_new, std::uint64_t now);
  void make_frame(rte_mbuf& frame, std::size_t stream, bool of_new_flow, std::uint64_t stamp);
  /// False if there is no memory for the frame's body.
  bool write(rte_mbuf& frame, const Stream& stream, const FrameWriter& writer, std::uint32_t flow, ProbeWords probe);
  bool add_pieces(rte_mbuf& head, std::uint32_t length, std::uint64_t key);
  void flush(Outbox& outbox, std::uint16_t queue, Turn& turn);
  void take_back(rte_mbuf& frame);

  std::uint8_t number_;
  std::uint16_t port_;
  std::uint16_t queues_;
  bool tso_;
  bool offload_;
  bool full_;
  double new_flow_rate_;
  double hz_;
  rte_mempool* heads_;
  rte_mempool* bodies_;
  std::vector<Stream> streams_;
  std::optional<Stream> announcement_;
  std::vector<Outbox> outboxes_;
  std::vector<rte_mbuf*> fresh_;  ///< buffers to be written next
  std::size_t next_stream_ = 0;
  std::uint8_t run_ = 0;
  bool paced_ = false;
  Pacer pacer_;
  Pacer new_flow_pacer_;
  SenderCounts counts_;
};

}  // namespace sluice::vmgen
