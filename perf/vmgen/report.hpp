// Report: a run's result in the words of README.md, as JSON for programs and as text for people.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "perf/vmgen/generator.hpp"
#include "perf/vmgen/options.hpp"
#include "perf/vmgen/search.hpp"

namespace sluice::vmgen {

using Json = nlohmann::ordered_json;

/// The whole report; `search` is its member of that name.
Json report_of(const Options& options, const RunResult& result, const Json& search, double hz);

/// What happened since `before`, which is then brought up to `now`.
Json interval_of(const Options& options, const Glimpse& now, std::vector<Counts>& before, double hz);

/// The member `search` of a report.
Json search_of(const Options& options, const SearchOutcome& outcome);

std::string text_of(const Json& report);

}  // namespace sluice::vmgen
