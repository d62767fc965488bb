// What each program here has: its benchmarks, registered before any runs.
#pragma once

namespace sluice::perf {

void register_all();

}  // namespace sluice::perf
