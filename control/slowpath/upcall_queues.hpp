// UpcallQueues: upcalls that wait, a queue a port, served in turn. However many flows one port's VM makes, another
// port's next flow waits for one decision of each, not for all of them. Slow-path thread.
//
// Bounded by the PMDs: each has at most so many flows of a port pending, and each of those is one upcall.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "datapath/upcall.hpp"

namespace sluice::control {

struct WaitingUpcall {
  datapath::Upcall upcall;
  std::size_t pmd;
};

class UpcallQueues {
 public:
  void push(const WaitingUpcall& upcall);
  [[nodiscard]] std::optional<WaitingUpcall> pop();
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Of one PMD.
  [[nodiscard]] std::size_t size(std::size_t pmd) const { return pmd < of_pmd_.size() ? of_pmd_[pmd] : 0; }
  /// Of one port.
  [[nodiscard]] std::size_t of_port(flowtable::PortId port) const {
    return port < of_port_.size() ? of_port_[port].size() : 0;
  }
  /// How many of a PMD's were ever pushed.
  [[nodiscard]] std::uint64_t taken(std::size_t pmd) const { return pmd < taken_.size() ? taken_[pmd] : 0; }

 private:
  std::vector<std::deque<WaitingUpcall>> of_port_;  ///< by PortId
  std::deque<flowtable::PortId> turns_;             ///< ports that have some, each once
  std::vector<std::size_t> of_pmd_;
  std::vector<std::uint64_t> taken_;  ///< by PMD
  std::size_t size_ = 0;
};

}  // namespace sluice::control
