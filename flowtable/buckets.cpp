// Finding, placing and removing entries in the buckets. Runs in the table's PMD.
#include "flowtable/buckets.hpp"

#include <bit>

namespace sluice::flowtable {
namespace {

// How many buckets a search for a free slot may look at. Each has eight ways on, so this is deep enough to succeed at
// any load a table can have unless keys collide on purpose; then the chain takes them.
constexpr std::size_t kMaxSteps = 128;

struct Step {
  std::size_t bucket;
  std::uint16_t from;  // the step whose bucket an entry would come from
  std::uint16_t slot;  // and the slot there
};
constexpr std::uint16_t kStart = 0xffff;

FlowEntry* search_bucket(const TableView& table, const Bucket& bucket, Tag tag, const FlowKey& key) {
  for (unsigned candidates = match(bucket, tag); candidates != 0; candidates &= candidates - 1) {
    FlowEntry& entry = table.entries[bucket.entries[static_cast<unsigned>(std::countr_zero(candidates))]];
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

void put(Bucket& bucket, unsigned slot, Tag tag, EntryId id) {
  bucket.tags[slot] = tag;
  bucket.entries[slot] = id;
}

// Moves one entry to a free slot of its other bucket and keeps the first bucket's count.
void move(const TableView& table, std::size_t from, unsigned from_slot, std::size_t to, unsigned to_slot) {
  Bucket& source = table.buckets[from];
  const EntryId id = source.entries[from_slot];
  put(table.buckets[to], to_slot, source.tags[from_slot], id);
  source.tags[from_slot] = 0;
  if (table.first(table.entries[id].hash) == from) {
    ++source.displaced;
  } else {
    --table.buckets[to].displaced;
  }
}

// A breadth-first search over the buckets that entries could be moved to, starting from the two of a tag. The first way
// it finds is a shortest one, which leads through no bucket twice: its moves cannot undo each other.
class Displacement {
 public:
  Displacement(const TableView& table, std::size_t first, std::size_t second) : table_(table) {
    add({first, kStart, 0});
    add({second, kStart, 0});
  }

  /// Frees a slot in one of the two buckets and returns which; nothing is moved if there is no way.
  bool run(std::size_t& bucket, unsigned& slot) {
    for (std::size_t i = 0; i < count_; ++i) {
      const Bucket& here = table_.buckets[steps_[i].bucket];
      for (unsigned s = 0; s < kSlots; ++s) {
        const std::size_t next = table_.other(steps_[i].bucket, here.tags[s]);
        const Step step{next, static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(s)};
        if (const unsigned free = free_slots(table_.buckets[next]); free != 0) {
          unwind(step, static_cast<unsigned>(std::countr_zero(free)), bucket, slot);
          return true;
        }
        add(step);
      }
    }
    return false;
  }

 private:
  void add(const Step& step) {
    if (count_ < steps_.size()) steps_[count_++] = step;
  }
  // The last move first, so that every move goes to a slot that is free.
  void unwind(Step step, unsigned free_slot, std::size_t& bucket, unsigned& slot) {
    for (;;) {
      const Step& source = steps_[step.from];
      move(table_, source.bucket, step.slot, step.bucket, free_slot);
      free_slot = step.slot;
      if (source.from == kStart) break;
      step = source;
    }
    bucket = steps_[step.from].bucket;
    slot = free_slot;
  }

  const TableView& table_;
  std::array<Step, kMaxSteps> steps_;
  std::size_t count_ = 0;
};

bool take_from_bucket(Bucket& bucket, EntryId id, unsigned& slot) {
  for (slot = 0; slot < kSlots; ++slot) {
    if (bucket.tags[slot] != 0 && bucket.entries[slot] == id) {
      bucket.tags[slot] = 0;
      return true;
    }
  }
  return false;
}

void take_from_chain(const TableView& table, Bucket& first, EntryId id) {
  EntryId* link = &first.chain;
  while (*link != id) link = &table.entries[*link].next;
  *link = table.entries[id].next;
  --first.chained;
  --first.displaced;
}

}  // namespace

FlowEntry* search(const TableView& table, const FlowKey& key, std::uint32_t hash) {
  const Tag tag = tag_of(hash);
  const std::size_t index = table.first(hash);
  const Bucket& first = table.buckets[index];
  if (FlowEntry* entry = search_bucket(table, first, tag, key); entry != nullptr) return entry;
  if (first.displaced == 0) return nullptr;
  if (FlowEntry* entry = search_bucket(table, table.buckets[table.other(index, tag)], tag, key); entry != nullptr) {
    return entry;
  }
  EntryId id = first.chain;
  for (std::uint32_t n = first.chained; n != 0; --n) {
    FlowEntry& entry = table.entries[id];
    if (entry.key == key) return &entry;
    id = entry.next;
  }
  return nullptr;
}

void place(const TableView& table, EntryId id) {
  const std::uint32_t hash = table.entries[id].hash;
  const Tag tag = tag_of(hash);
  const std::size_t first = table.first(hash);
  const std::size_t second = table.other(first, tag);
  std::size_t bucket = first;
  unsigned slot = 0;
  if (const unsigned free = free_slots(table.buckets[first]); free != 0) {
    slot = static_cast<unsigned>(std::countr_zero(free));
  } else if (const unsigned free_second = free_slots(table.buckets[second]); free_second != 0) {
    bucket = second;
    slot = static_cast<unsigned>(std::countr_zero(free_second));
  } else if (!Displacement(table, first, second).run(bucket, slot)) {
    Bucket& head = table.buckets[first];
    table.entries[id].next = head.chain;
    head.chain = id;
    ++head.chained;
    ++head.displaced;
    return;
  }
  put(table.buckets[bucket], slot, tag, id);
  if (bucket != first) ++table.buckets[first].displaced;
}

void remove(const TableView& table, EntryId id) {
  const std::uint32_t hash = table.entries[id].hash;
  const std::size_t first = table.first(hash);
  std::size_t bucket = first;
  unsigned slot = 0;
  if (!take_from_bucket(table.buckets[first], id, slot)) {
    bucket = table.other(first, tag_of(hash));
    if (!take_from_bucket(table.buckets[bucket], id, slot)) {
      take_from_chain(table, table.buckets[first], id);
      return;
    }
    --table.buckets[first].displaced;
  }
  // The free slot ends the wait of one that is on this bucket's chain.
  Bucket& here = table.buckets[bucket];
  if (here.chained == 0) return;
  const EntryId waiting = here.chain;
  here.chain = table.entries[waiting].next;
  --here.chained;
  --here.displaced;
  put(here, slot, tag_of(table.entries[waiting].hash), waiting);
}

}  // namespace sluice::flowtable
