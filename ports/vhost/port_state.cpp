#include "ports/vhost/port_state.hpp"

namespace sluice::ports::vhost {

void store_ring(PortState& state, unsigned index, const RingState& next) {
  if (state.rings[index] == next) return;
  state.next = next;
  commit(state.staged, index + 1);
  state.rings[index] = next;
  commit(state.staged, 0U);
}

void finish_store(PortState& state) {
  if (state.staged == 0) return;
  if (state.staged <= kMaxRings) state.rings[state.staged - 1] = state.next;
  commit(state.staged, 0U);
}

void clear_connection(PortState& state) {
  commit(state.staged, 0U);
  for (unsigned i = 0; i < kMaxRings; ++i) {
    if (state.rings[i] == RingState{}) continue;  // pages that were never touched are left alone
    state.progress[i].position = RingPosition{};
    state.progress[i].journal.count = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // or who comes after would leave it as it is
    state.rings[i] = RingState{};
  }
  state.tables = {};
  state.features = state.protocol_features = 0;
  state.log = 0;
  state.logs = {};
  state.attempts = 0;
  state.mtu = state.status = state.table = state.node = 0;
}

}  // namespace sluice::ports::vhost
