#include "control/slowpath/graveyard.hpp"

#include <atomic>
#include <utility>

namespace sluice::control {

void Graveyard::bury(std::unique_ptr<const flowtable::ActionList> list) {
  if (list != nullptr) now_.lists.push_back(std::move(list));
}

void Graveyard::end_round() {
  if (now_.empty()) return;
  now_.sent.emplace(outboxes_);
  batches_.push_back(std::exchange(now_, {}));
  ++closed_;
}

Graveyard::Numbers Graveyard::collect() {
  Numbers free;
  while (!batches_.empty() && batches_.front().sent->out(pmds_, outboxes_)) {
    const auto& [decisions, flows] = batches_.front().numbers;
    free.decisions.insert(free.decisions.end(), decisions.begin(), decisions.end());
    free.flows.insert(free.flows.end(), flows.begin(), flows.end());
    batches_.pop_front();
    ++collected_;
  }
  return free;
}

Carried::Carried(std::span<const Outbox> outboxes) {
  for (const auto& outbox : outboxes) sent_.push_back(outbox.sent());
}

bool Carried::out(std::span<const PmdLink> pmds, std::span<const Outbox> outboxes) {
  if (tokens_.empty()) {
    for (std::size_t i = 0; i < outboxes.size(); ++i) {
      if (outboxes[i].taken() < sent_[i]) return false;
    }
    tokens_ = grace_tokens(pmds);
  }
  return grace_passed(pmds, tokens_);
}

std::vector<std::uint64_t> grace_tokens(std::span<const PmdLink> pmds) {
  // seq_cst: the exchanges before are seen by a PMD that the tokens say is outside of its loop (see grace.hpp).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::vector<std::uint64_t> tokens;
  tokens.reserve(pmds.size());
  for (const auto& pmd : pmds) tokens.push_back(pmd.loop->token());
  return tokens;
}

bool grace_passed(std::span<const PmdLink> pmds, std::span<const std::uint64_t> tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!pmds[i].loop->passed(tokens[i])) return false;
  }
  return true;
}

}  // namespace sluice::control
