// ModelPmd: a PMD without packets. A real flow table and real rings; what it is given is keys, and what it says is
// which actions they would meet.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "control/slowpath/pmd_link.hpp"
#include "flowtable/flow_table.hpp"

namespace sluice::control::test {

class ModelPmd {
 public:
  explicit ModelPmd(std::size_t capacity = 4096, std::size_t ring_size = 4096)
      : table_(std::move(*flowtable::FlowTable::create(capacity, {{1, 2}}))),
        upcalls_(ring_size),
        commands_(ring_size) {}

  PmdLink link() {
    return {
        &upcalls_,
        &commands_,
        &table_,
        &loop_,
        [this](const datapath::MaskView* view) { return std::exchange(masks_, view); },
        nullptr,
        [this](const flowtable::FlowKey& key, const flowtable::Decision& decision) { return adopt(key, decision); }};
  }

  [[nodiscard]] flowtable::FlowKey masked(const flowtable::FlowKey& key) const {
    const auto& mask = masks_->ports.at(key.in_port)[key.packet_class];
    auto result = flowtable::masked(key, mask.mask);
    result.mask_generation = mask.generation;
    return result;
  }
  [[nodiscard]] flowtable::FlowEntry* find(const flowtable::FlowKey& key) const { return table_.find(masked(key)); }

  /// A packet: counted if its flow is decided, else its flow comes up.
  void packet(const flowtable::FlowKey& key, std::uint64_t now_ns) {
    if (auto* entry = find(key)) {
      if (entry->decision != nullptr)
        hit(*entry, now_ns);
      else
        waiting_[entry->id].push_back(key);
      return;
    }
    const auto wanted = masked(key);
    auto* entry = table_.insert(wanted, table_.hash_of(wanted));
    if (entry == nullptr) {
      ++table_full_;
      return;
    }
    auto full = key;
    full.mask_generation = wanted.mask_generation;
    waiting_[entry->id].push_back(key);
    upcalls_.push({full, entry->id, 64, now_ns});
  }

  const flowtable::FlowEntry* adopt(const flowtable::FlowKey& masked_key, const flowtable::Decision& decision) {
    if (table_.find(masked_key) != nullptr) return nullptr;
    auto* entry = table_.insert(masked_key, table_.hash_of(masked_key));
    if (entry != nullptr) entry->decision = &decision;
    return entry;
  }

  /// Carries out at most `most` commands.
  void run(std::uint64_t now_ns, std::size_t most = SIZE_MAX) {
    datapath::Command command;
    while (most-- != 0 && commands_.pop({&command, 1}) == 1) {
      auto& entry = table_.entry(command.entry);
      ++commands_seen_[static_cast<int>(command.kind)];
      const auto waiting = std::exchange(waiting_[entry.id], {});
      switch (command.kind) {
        case datapath::Command::Kind::install:
          entry.decision = command.decision;
          for (std::size_t i = 0; i < waiting.size(); ++i) hit(entry, now_ns);
          break;
        case datapath::Command::Kind::reclassify:
          table_.erase(entry);
          for (const auto& key : waiting) packet(key, now_ns);
          break;
        case datapath::Command::Kind::remove: table_.erase(entry); break;
        case datapath::Command::Kind::inject: break;  // it has no buffers: nothing is injected
      }
    }
  }

  [[nodiscard]] const flowtable::FlowTable& table() const { return table_; }
  /// How many packets of a port wait for decisions.
  [[nodiscard]] std::size_t waiting(flowtable::PortId port) const {
    std::size_t count = 0;
    for (const auto& [entry, keys] : waiting_) {
      for (const auto& key : keys) count += key.in_port == port;
    }
    return count;
  }
  [[nodiscard]] datapath::LoopCounter& loop() { return loop_; }
  [[nodiscard]] int seen(datapath::Command::Kind kind) { return commands_seen_[static_cast<int>(kind)]; }
  [[nodiscard]] int table_full() const { return table_full_; }
  [[nodiscard]] const datapath::MaskView* masks() const { return masks_; }

 private:
  static void hit(flowtable::FlowEntry& entry, std::uint64_t now_ns) {
    entry.packets.add(1);
    entry.bytes.add(64);
    entry.used_ns.set(now_ns);
  }

  flowtable::FlowTable table_;
  datapath::UpcallRing upcalls_;
  datapath::CommandRing commands_;
  datapath::LoopCounter loop_;
  const datapath::MaskView* masks_ = nullptr;
  std::map<flowtable::EntryId, std::vector<flowtable::FlowKey>> waiting_;
  std::map<int, int> commands_seen_;
  int table_full_ = 0;
};

}  // namespace sluice::control::test
