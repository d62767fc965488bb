#include "perf/vmgen/report.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::vmgen {
namespace {

constexpr double kLateShare = 0.005;  ///< skipped frames by which the generator was too slow
constexpr double kFullShare =
    0.1;  ///< of the time, with full rings, or a full window, by which the switch, or that, was

double share(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

Json settings_of(const Options& options) {
  return {{"pattern", name_of(options.pattern)},
          {"size", options.imix || options.tso != 0 ? 0 : options.size},
          {"imix", options.imix},
          {"tso", options.tso},
          {"protocol", name_of(options.protocol)},
          {"checksum_offload", options.checksum_offload},
          {"flows", options.flows},
          {"vary", options.vary_names()},
          {"distribution", name_of(options.distribution)},
          {"zipf_exponent", options.zipf_exponent},
          {"new_flows", options.new_flows},
          {"rate", options.rate},
          {"window", options.window},
          {"verify", name_of(options.verify)},
          {"core", options.core},
          {"seed", options.seed}};
}

Json latency_of(const Histogram& ticks, double hz) {
  if (ticks.count() == 0) return nullptr;
  const double us = (1U << kCyclesPerTickShift) * 1e6 / hz;
  const auto at = [&](double quantile) { return static_cast<double>(ticks.at(quantile)) * us; };
  return {{"count", ticks.count()},
          {"min", static_cast<double>(ticks.min()) * us},
          {"mean", ticks.mean() * us},
          {"p50", at(0.5)},
          {"p99", at(0.99)},
          {"p99_9", at(0.999)},
          {"max", static_cast<double>(ticks.max()) * us}};
}

/// Adds the COUNTS of README.md to `json`.
void add_counts(Json& json, const Counts& counts, double seconds) {
  const SenderCounts& sender = counts.sender;
  const ReceiverCounts& receiver = counts.receiver;
  const auto each_second = [&](std::uint64_t count) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; };
  json["offered"] = sender.sent + sender.refused;
  json["sent"] = sender.sent;
  json["sent_bytes"] = sender.sent_bytes;
  json["refused"] = sender.refused;
  json["skipped"] = sender.skipped;
  json["expected"] = counts.expected;
  json["received"] = receiver.received;
  json["received_bytes"] = receiver.received_bytes;
  json["lost"] = counts.expected - receiver.received;
  json["duplicated"] = receiver.duplicated;
  json["reordered"] = receiver.reordered;
  json["corrupted"] = receiver.corrupted;
  json["foreign"] = receiver.foreign;
  json["tx_pps"] = each_second(sender.sent);
  json["rx_pps"] = each_second(receiver.received);
  json["tx_bps"] = each_second(sender.sent_bytes * 8);
  json["rx_bps"] = each_second(receiver.received_bytes * 8);
  json["new_flows"] = {{"sent", counts.new_sent},
                       {"refused", sender.refused_new},
                       {"received", receiver.new_received},
                       {"lost", counts.new_expected - receiver.new_received},
                       {"duplicated", receiver.new_duplicated}};
  json["tx_bursts"] = sender.bursts;
  json["tx_bursts_refused"] = sender.bursts_refused;
  json["rx_polls"] = receiver.polls;
  json["rx_polls_empty"] = receiver.polls_empty;
}

void add_gap(Json& json, const Gap& gap, bool expects_any, std::uint64_t began, double hz) {
  json["longest_gap_us"] = expects_any ? Json(static_cast<double>(gap.length) * 1e6 / hz) : Json(nullptr);
  json["longest_gap_at_s"] =
      expects_any ? Json(static_cast<double>(gap.began - std::min(began, gap.began)) / hz) : Json(nullptr);
}

Json generator_of(const Options& options, const RunResult& result, const Counts& all, double hz) {
  const Effort& effort = result.effort;
  const double full = share(effort.full_cycles, effort.cycles);
  const double held = share(effort.held_cycles, effort.cycles);
  const std::uint64_t offered = all.sender.sent + all.sender.refused;
  const double late = share(all.sender.skipped, offered + all.sender.skipped);
  std::string limit;
  std::string note;
  if (result.rate > 0 && late <= kLateShare) {
    limit = "rate";
    note = "all that was due was offered";
  } else if (result.rate > 0) {
    limit = "generator";
    note = fmt::format("{:.1f} % of what was due was skipped: the rate is more than this core sends", late * 100);
  } else if (held > kFullShare) {
    limit = "window";
    note = fmt::format("for {:.1f} % of the time all {} frames that a sender may have on their way were", held * 100,
                       options.window);
  } else if (full > kFullShare) {
    limit = "switch";
    note = fmt::format("for {:.1f} % of the time a ring had no room", full * 100);
  } else {
    limit = "generator";
    note = fmt::format("for {:.1f} % of the time alone a ring had no room: the switch could take more", full * 100);
  }
  const std::uint64_t full_polls = all.receiver.polls - all.receiver.polls_empty;
  return {{"cycles_per_packet", share(effort.busy_cycles, effort.frames)},
          {"busy_share", share(effort.busy_cycles, effort.cycles)},
          {"rx_polls_empty_share", share(all.receiver.polls_empty, all.receiver.polls)},
          {"tx_bursts_refused_share", share(all.sender.bursts_refused, all.sender.bursts)},
          {"full_ring_share", full},
          {"packets_per_rx_burst", share(all.receiver.received, full_polls)},
          {"longest_stall_us", static_cast<double>(effort.longest_turn) * 1e6 / hz},
          {"limit", limit},
          {"note", note}};
}

Json identity_of(const VmOptions& vm) {
  return {{"name", vm.name},         {"path", vm.path},     {"mac", to_string(vm.mac)},
          {"server", vm.server},     {"packed", vm.packed}, {"mergeable", vm.mergeable},
          {"in_order", vm.in_order}, {"queues", vm.queues}, {"queue_size", vm.queue_size}};
}

std::string line_of(const std::string& name, const Json& counts) {
  std::string line = fmt::format(
      "{:6} sent {} received {} lost {} duplicated {} reordered {} corrupted {} | {:.3f} Mpps {:.3f} Gbit/s", name,
      counts["sent"].get<std::uint64_t>(), counts["received"].get<std::uint64_t>(), counts["lost"].get<std::uint64_t>(),
      counts["duplicated"].get<std::uint64_t>(), counts["reordered"].get<std::uint64_t>(),
      counts["corrupted"].get<std::uint64_t>(), counts["rx_pps"].get<double>() / 1e6,
      counts["rx_bps"].get<double>() / 1e9);
  for (const char* what : {"refused", "skipped", "foreign"}) {
    if (const auto count = counts[what].get<std::uint64_t>(); count != 0) line += fmt::format(" | {} {}", what, count);
  }
  if (!counts["longest_gap_us"].is_null())
    line += fmt::format(" | longest gap {:.1f} us", counts["longest_gap_us"].get<double>());
  if (const Json& latency = counts["latency_us"]; !latency.is_null()) {
    line += fmt::format(" | latency us p50 {:.2f} p99 {:.2f} p99.9 {:.2f} max {:.2f}", latency["p50"].get<double>(),
                        latency["p99"].get<double>(), latency["p99_9"].get<double>(), latency["max"].get<double>());
  }
  return line + "\n";
}

}  // namespace

Json report_of(const Options& options, const RunResult& result, const Json& search, double hz) {
  Counts all;
  Histogram latency;
  Gap gap;
  bool expects_any = false;
  Json vms = Json::array();
  for (std::size_t i = 0; i < result.vms.size(); ++i) {
    const VmResult& vm = result.vms[i];
    Json json = identity_of(options.vms[i]);
    json["link_up"] = vm.link_up;
    add_counts(json, vm.counts, result.seconds);
    add_gap(json, vm.gap, vm.expects_any, result.began, hz);
    json["latency_us"] = latency_of(vm.latency, hz);
    vms.push_back(std::move(json));
    all += vm.counts;
    latency.merge(vm.latency);
    if (vm.gap.length > gap.length) gap = vm.gap;
    expects_any |= vm.expects_any;
  }
  Json total;
  add_counts(total, all, result.seconds);
  add_gap(total, gap, expects_any, result.began, hz);
  total["latency_us"] = latency_of(latency, hz);
  return {{"event", "report"},
          {"version", 1},
          {"settings", settings_of(options)},
          {"duration_s", result.seconds},
          {"clock_s", result.clock},
          {"vms", std::move(vms)},
          {"total", std::move(total)},
          {"generator", generator_of(options, result, all, hz)},
          {"search", search}};
}

Json interval_of(const Options& options, const Glimpse& now, std::vector<Counts>& before, double hz) {
  before.resize(now.vms.size());
  const auto since = [](const Counts& then, const Counts& counts) {
    return Json{{"sent", counts.sender.sent - then.sender.sent},
                {"refused", counts.sender.refused - then.sender.refused},
                {"received", counts.receiver.received - then.receiver.received},
                {"duplicated", counts.receiver.duplicated - then.receiver.duplicated},
                {"reordered", counts.receiver.reordered - then.receiver.reordered},
                {"corrupted", counts.receiver.corrupted - then.receiver.corrupted}};
  };
  Counts all_before;
  Counts all_now;
  std::uint64_t longest = 0;
  Json vms = Json::array();
  for (std::size_t i = 0; i < now.vms.size(); ++i) {
    Json vm{{"name", options.vms[i].name}, {"link_up", bool{now.links[i]}}};
    vm.update(since(before[i], now.vms[i]));
    add_gap(vm, now.gaps[i], true, now.began, hz);
    vm["by_queue"] = now.frames_by_queue[i];
    vms.push_back(std::move(vm));
    all_before += before[i];
    all_now += now.vms[i];
    longest = std::max(longest, now.gaps[i].length);
  }
  Json total = since(all_before, all_now);
  total["longest_gap_us"] = static_cast<double>(longest) * 1e6 / hz;
  before = now.vms;
  return {{"event", "interval"}, {"clock_s", now.clock}, {"t_s", now.seconds}, {"total", total}, {"vms", vms}};
}

Json search_of(const Options& options, const SearchOutcome& outcome) {
  Json trials = Json::array();
  for (const Trial& trial : outcome.trials) {
    trials.push_back({{"rate", trial.rate},
                      {"seconds", trial.seconds},
                      {"offered", trial.offered},
                      {"skipped", trial.skipped},
                      {"received", trial.received},
                      {"lost", trial.expected - trial.received},
                      {"loss_percent", trial.loss_percent()},
                      {"passed", trial.passed},
                      {"spoiled", trial.spoiled},
                      {"verification", trial.verification}});
  }
  const Trial found = outcome.found.value_or(Trial{});
  const auto each_second = [&](std::uint64_t count) {
    return outcome.found ? Json(static_cast<double>(count) / found.seconds) : Json(nullptr);
  };
  const bool highest = outcome.found && !outcome.trials.empty() && found.rate >= outcome.trials.front().rate;
  return {{"loss_percent", options.search_loss_percent},
          {"limit", outcome.generator_was_limit ? "generator"
                    : highest                   ? "rate"
                                                : "switch"},
          {"rate", outcome.found ? Json(found.rate) : Json(nullptr)},
          {"tx_pps", each_second(found.offered)},
          {"rx_pps", each_second(found.received)},
          {"rx_bps", each_second(found.received_bytes * 8)},
          {"trials", std::move(trials)}};
}

std::string text_of(const Json& report) {
  std::string text = fmt::format("{:.3f} s\n", report["duration_s"].get<double>());
  for (const Json& vm : report["vms"]) text += line_of(vm["name"], vm);
  text += line_of("total", report["total"]);
  const Json& generator = report["generator"];
  text += fmt::format(
      "generator: {:.1f} cycles a packet, busy {:.1f} %, empty polls {:.1f} %, longest stall {:.0f} us; limit: {} "
      "({})\n",
      generator["cycles_per_packet"].get<double>(), generator["busy_share"].get<double>() * 100,
      generator["rx_polls_empty_share"].get<double>() * 100, generator["longest_stall_us"].get<double>(),
      generator["limit"].get<std::string>(), generator["note"].get<std::string>());
  if (const Json& search = report["search"]; !search.is_null()) {
    text +=
        search["rate"].is_null()
            ? std::string{"search: no rate passed\n"}
            : fmt::format("search: {:.0f} frames a second from each sender at a loss of at most {:g} %; limit: {}\n",
                          search["rate"].get<double>(), search["loss_percent"].get<double>(),
                          search["limit"].get<std::string>());
  }
  return text;
}

}  // namespace sluice::vmgen
