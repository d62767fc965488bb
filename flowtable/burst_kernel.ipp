// The burst functions of a kernel, written once. A kernel_*.cpp defines SLUICE_TARGET (the instructions its functions
// may use), the type Wide (64 bytes in registers) and load, store, equal, masked, hash_of on it, all in an unnamed
// namespace, and then includes this there. Only functions marked SLUICE_TARGET are compiled for more than the baseline:
// what is shared with other files (templates, inline functions of headers) stays runnable everywhere.

// Three passes, so that the memory that one needs is on its way while the others are worked on: hash and fetch the
// bucket; compare tags and fetch the entry; compare the key.
SLUICE_TARGET void lookup_burst(const TableView& table, const FlowKey* keys, std::size_t count, FlowEntry** entries,
                                std::uint64_t* hashes) {
  constexpr std::size_t kMax = FlowTable::kMaxLookup;
  std::uint8_t leader[kMax + 1];  // where each run of equal keys starts, and at last the end
  Bucket* bucket[kMax];
  FlowEntry* candidate[kMax];
  std::size_t runs = 0;

  Wide previous{};
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Wide key = load(keys[i]);
    if (i == 0 || !equal(key, previous)) {
      hash = hash_of(key, table.hash_key);
      bucket[runs] = table.buckets + table.first(static_cast<std::uint32_t>(hash));
      __builtin_prefetch(bucket[runs]);
      leader[runs++] = static_cast<std::uint8_t>(i);
      previous = key;
    }
    hashes[i] = hash;
  }
  leader[runs] = static_cast<std::uint8_t>(count);

  for (std::size_t r = 0; r < runs; ++r) {
    const Tag tag = tag_of(static_cast<std::uint32_t>(hashes[leader[r]]));
    const unsigned matches = match(*bucket[r], tag);
    candidate[r] = nullptr;
    if (matches != 0) {
      candidate[r] = table.entries + bucket[r]->entries[static_cast<unsigned>(__builtin_ctz(matches))];
      __builtin_prefetch(candidate[r]);
      __builtin_prefetch(&candidate[r]->decision);
    } else if (bucket[r]->displaced != 0) {
      const auto index = static_cast<std::size_t>(bucket[r] - table.buckets);
      __builtin_prefetch(table.buckets + table.other(index, tag));
    }
  }

  for (std::size_t r = 0; r < runs; ++r) {
    const std::size_t begin = leader[r];
    FlowEntry* found = candidate[r];
    if (found == nullptr || !equal(load(keys[begin]), load(found->key))) {
      // Seldom: a tag that two keys share, or a key that is not in its first bucket. Or, often, a plain miss.
      const bool elsewhere = found != nullptr || bucket[r]->displaced != 0;
      found = elsewhere ? search(table, keys[begin], static_cast<std::uint32_t>(hashes[begin])) : nullptr;
    }
    for (std::size_t i = begin; i < leader[r + 1]; ++i) entries[i] = found;
  }
}

SLUICE_TARGET void mask_all(const FlowKey* keys, const ClassMask* const* masks, std::size_t count, FlowKey* out) {
  for (std::size_t i = 0; i < count; ++i) store(out[i], masked(load(keys[i]), *masks[i]));
}

SLUICE_TARGET std::uint64_t hash_one(const FlowKey& key, const HashKey& hash_key) {
  return hash_of(load(key), hash_key);
}
