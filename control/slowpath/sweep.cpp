#include "control/slowpath/sweep.hpp"

#include <algorithm>

namespace sluice::control {
namespace {

constexpr std::uint64_t kPeriodNs = 1'000'000'000;
constexpr std::size_t kBatch = 1024;
/// A round does at most this many, so that upcalls never wait long; four a round make up for a round that was late.
constexpr unsigned kBatchesARound = 4;

constexpr std::size_t kSample = 256;
constexpr std::size_t kColdestOfSample = 16;
constexpr std::size_t kMostRemovedARound = 2048;
constexpr std::size_t kMostReserve = 32768;

/// Of a table of this size, places that are kept free.
std::size_t reserve_of(std::size_t capacity) { return std::min(capacity / 32 + (capacity > 1 ? 1 : 0), kMostReserve); }

}  // namespace

std::size_t Sweep::capacity_for(std::size_t flow_limit) {
  std::size_t capacity = flow_limit + std::min(flow_limit / 31, kMostReserve);
  while (capacity - reserve_of(capacity) < flow_limit) ++capacity;
  return std::min(capacity, flowtable::FlowTable::kMaxCapacity);
}

Sweep::Sweep(FlowSet& flows, std::span<const PmdLink> pmds, const Options& options)
    : flows_(flows), options_(options), walk_(flows.records(), pmds.size()), offset_(pmds.size()) {
  for (const auto& pmd : pmds) {
    const auto capacity = pmd.table->capacity();
    allowed_.push_back(std::max<std::size_t>(1, std::min(options.flow_limit, capacity - reserve_of(capacity))));
  }
}

std::optional<std::uint64_t> Sweep::due_ns() const {
  if (flows_.records().count() == 0) return std::nullopt;
  return next_ns_;
}

bool Sweep::run(std::uint64_t now_ns) {
  const auto before = flows_.records().count();
  if (before == 0) return false;
  for (unsigned i = 0; i < kBatchesARound && now_ns >= next_ns_; ++i) {
    const auto length = walk_.length();
    const auto batch = std::min(length, kBatch);
    walk_.next(batch, [&](FlowRef flow) {
      const auto idle = flows_.records().idle_ns(flow, now_ns);
      if (idle < options_.idle_timeout_ns) {
        flows_.keep_source_alive(flow, now_ns, idle);
      } else if (!flows_.congested(pmd_of(flow))) {
        flows_.drop(flow, now_ns);
      }
    });
    // Behind by more than this round can do: what is left keeps its pace from here.
    next_ns_ = std::max(next_ns_, now_ns - std::min(now_ns, kPeriodNs)) + kPeriodNs * batch / length;
  }
  return flows_.records().count() != before;
}

bool Sweep::make_room(std::size_t pmd, std::size_t waiting, std::uint64_t now_ns) {
  const auto wanted = flows_.records().count(pmd) + waiting;
  if (wanted <= allowed_[pmd]) return false;
  auto surplus = std::min({wanted - allowed_[pmd], flows_.records().count(pmd), kMostRemovedARound});
  bool any = false;
  while (surplus != 0 && !flows_.congested(pmd)) {
    const auto gone = remove_coldest(pmd, surplus, now_ns);
    if (gone == 0) break;
    surplus -= gone;
    any = true;
  }
  return any;
}

std::size_t Sweep::remove_coldest(std::size_t pmd, std::size_t most, std::uint64_t now_ns) {
  const auto& records = flows_.records();
  const auto places = records.places(pmd);
  const auto stride = std::max<std::size_t>(1, places / kSample);
  auto& offset = offset_[pmd];
  sample_.clear();
  // From everywhere in the table: neighbours were made at the same time.
  const auto place = [&](std::size_t i) {
    return flow_ref(pmd, static_cast<std::uint32_t>((offset + i * stride) % places));
  };
  const auto count = std::min(places, kSample);
  for (std::size_t i = 0; i < count; ++i) records.prefetch(place(i));
  for (std::size_t i = 0; i < count; ++i) {
    if (records.live(place(i))) sample_.push_back({records.idle_ns(place(i), now_ns), place(i)});
  }
  ++offset;
  const auto coldest = std::min({most, kColdestOfSample, sample_.size()});
  const auto colder = [](const Candidate& a, const Candidate& b) {
    return a.idle_ns != b.idle_ns ? a.idle_ns > b.idle_ns : a.flow < b.flow;
  };
  std::partial_sort(sample_.begin(), sample_.begin() + static_cast<std::ptrdiff_t>(coldest), sample_.end(), colder);
  for (std::size_t i = 0; i < coldest; ++i) flows_.drop(sample_[i].flow, now_ns);
  return coldest;
}

}  // namespace sluice::control
