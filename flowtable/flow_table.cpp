// The table: memory, and the entries' life. Where an entry is found is the buckets' part, how bursts are the kernels'.
#include "flowtable/flow_table.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

namespace sluice::flowtable {
namespace {

// Slots for at least 1.25 keys each key: a displacement is then a few moves at most.
std::size_t buckets_for(std::size_t capacity) {
  const std::size_t slots = capacity + capacity / 4;
  return std::bit_ceil(std::max<std::size_t>(slots / kSlots + 1, 2));
}

}  // namespace

tl::expected<FlowTable, int> FlowTable::create(std::size_t capacity, const HashSecret& secret, const Kernel& kernel) {
  if (capacity == 0 || capacity > kMaxCapacity) return tl::unexpected(EINVAL);
  const std::size_t buckets = buckets_for(capacity);
  auto bucket_memory = Mapping::create(buckets * sizeof(Bucket));
  if (!bucket_memory) return tl::unexpected(bucket_memory.error());
  auto entry_memory = Mapping::create(capacity * sizeof(FlowEntry));
  if (!entry_memory) return tl::unexpected(entry_memory.error());

  // Entries fill up from the front: huge pages behind the first keep a large table's lookups out of the page tables,
  // and cost a small one nothing. Buckets fill up everywhere at once, so a few flows would take all of theirs.
  if (const std::size_t bytes = capacity * sizeof(FlowEntry); bytes > Mapping::kHugePage) {
    entry_memory->prefer_huge_pages(Mapping::kHugePage, bytes - Mapping::kHugePage);
  }

  FlowTable table;
  table.bucket_memory_ = std::move(*bucket_memory);
  table.entry_memory_ = std::move(*entry_memory);
  table.view_.buckets = reinterpret_cast<Bucket*>(table.bucket_memory_.data());
  table.view_.entries = reinterpret_cast<FlowEntry*>(table.entry_memory_.data());
  table.view_.bucket_mask = buckets - 1;
  table.view_.hash_key = HashKey(secret);
  table.kernel_ = &kernel;
  table.capacity_ = capacity;
  return table;
}

void FlowTable::lookup(std::span<const FlowKey> masked_keys, std::span<FlowEntry*> entries,
                       std::span<std::uint64_t> hashes) const {
  kernel_->lookup(view_, masked_keys.data(), masked_keys.size(), entries.data(), hashes.data());
}

FlowEntry* FlowTable::find(const FlowKey& masked_key) const {
  return search(view_, masked_key, static_cast<std::uint32_t>(hash_of(masked_key)));
}

std::uint64_t FlowTable::hash_of(const FlowKey& masked_key) const { return kernel_->hash(masked_key, view_.hash_key); }

FlowEntry* FlowTable::insert(const FlowKey& masked_key, std::uint64_t key_hash) {
  if (size() == capacity_) return nullptr;
  FlowEntry* added = nullptr;
  if (free_ != kNoEntry) {
    added = &entry(free_);
    free_ = added->next;
    added->next = kNoEntry;
  } else {
    added = new (&entry(never_used_)) FlowEntry{};
    added->id = never_used_++;
  }
  added->key = masked_key;
  added->decision = nullptr;
  added->used_ns.set(0);
  added->hash = static_cast<std::uint32_t>(key_hash);
  added->pending = 0;
  added->packets_before = added->packets.get();
  added->bytes_before = added->bytes.get();
  place(view_, added->id);
  size_.add(1);
  return added;
}

void FlowTable::erase(FlowEntry& entry) {
  remove(view_, entry.id);
  entry.next = free_;
  free_ = entry.id;
  size_.set(size_.get() - 1);
}

void FlowTable::clear() {
  bucket_memory_.give_back();
  entry_memory_.give_back();
  size_.set(0);
  free_ = kNoEntry;
  never_used_ = 0;
}

void FlowTable::take_up(std::size_t first, std::size_t count) const {
  if (first >= capacity_) return;
  entry_memory_.take_up(first * sizeof(FlowEntry), std::min(count, capacity_ - first) * sizeof(FlowEntry));
}

std::size_t FlowTable::reserved_bytes() const {
  return (view_.bucket_mask + 1) * sizeof(Bucket) + capacity_ * sizeof(FlowEntry);
}

}  // namespace sluice::flowtable
