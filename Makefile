# The two commands that matter: `make demo` and `make test`. Both install what is missing on Debian 12 first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 10
# Guests need hugepages, and those need root; all else does not.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help packages build all debug asan tsan demo test test-release test-asan test-fuzz test-tsan bench bench-quick bench-micro outages \
        accept-instructions perf-programs compared-with soak format tidy install clean

help: ## What there is
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

packages: ## Installs the Debian packages that are missing
	@tests/install-packages

build: packages ## Builds build/release/sluice
	cmake --preset release
	cmake --build --preset release --target sluice

debug asan tsan: packages ## Builds build/debug, build/asan or build/tsan
	cmake --preset $@
	cmake --build --preset $@

all: packages ## Builds build/release, tests and all
	cmake --preset release
	cmake --build --preset release

demo: build ## Two VMs exchange real traffic through the switch, and you see it
	$(ROOT) /usr/bin/python3 -B tests/vm/demo.py build/release/sluice config/demo.yaml

test: test-release test-asan test-fuzz test-tsan ## Everything: unit, replay, checks, VMs; with sanitizers; fuzzers
	@echo "All tests passed: release, address and undefined behaviour sanitizers, fuzzers, thread sanitizer."

test-release: all compared-with ## All tests on build/release
	$(ROOT) ctest --test-dir build/release -j "$$(nproc)" --output-on-failure --no-tests=error

# What a sanitizer makes too slow is labelled timing; the tree itself needs no second check.
test-asan: asan ## The tests on build/asan that are not bound to time
	$(ROOT) ctest --test-dir build/asan -j "$$(nproc)" --output-on-failure --no-tests=error --label-exclude 'timing|check'

test-fuzz: asan ## Runs each fuzzer for FUZZ_SECONDS
	tests/fuzz/run $(FUZZ_SECONDS) build/asan

test-tsan: packages ## The tests that start threads, with the thread sanitizer
	cmake --preset tsan
	cmake --build --preset tsan --target threads
	ctest --test-dir build/tsan -j "$$(nproc)" --output-on-failure --no-tests=error --label-regex unit

compared-with: packages
	@tests/install-packages perf/packages.txt

perf-programs: build
	cmake --build --preset release --target vmgen core_distance two_pmds flow_benchmark execute_benchmark ring_benchmark pipeline_instructions

bench: perf-programs compared-with ## Compares Sluice with OVS-DPDK and testpmd, into perf/results: an hour
	$(ROOT) /usr/bin/python3 -B perf/bench/bench.py

bench-quick: perf-programs compared-with ## The rows that tell most, in under 5 minutes
	$(ROOT) /usr/bin/python3 -B perf/bench/bench.py --quick

bench-micro: perf-programs ## What the parts cost, by Google Benchmark, into perf/results/micro: 4 minutes
	@mkdir -p perf/results/micro
	for part in flow execute ring; do \
	  $(ROOT) nice -n -20 taskset -c 1 build/release/perf/micro/$${part}_benchmark --benchmark_counters_tabular=true \
	    --benchmark_out=perf/results/micro/$$part.csv --benchmark_out_format=csv; \
	done

outages: perf-programs compared-with ## How long VMs are without network when the switch is killed: Sluice and OVS-DPDK side by side
	$(ROOT) /usr/bin/python3 -B perf/bench/outages.py

accept-instructions: perf-programs ## Accepts the instructions a packet that check.instructions counts
	/usr/bin/python3 -B perf/micro/check_instructions.py build/release/perf/micro/pipeline_instructions --accept

soak: all ## The long forms of the tests that repeat something, an hour on a machine that does nothing else; then outages
	$(ROOT) env SLUICE_BUILD_DIR=build/release /usr/bin/python3 -B -m pytest -v tests/vm --soak
	$(MAKE) outages

format: ## Formats every C++ file
	git ls-files '*.hpp' '*.cpp' | xargs clang-format -i

tidy: packages ## clang-tidy over product and tools, as the test check.tidy
	cmake --preset release
	/usr/bin/python3 -B tests/check/tidy.py . c++ build/release

install: build ## The binary, the example configurations and the completion, to $(DESTDIR)$(PREFIX)
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

clean: ## Removes build/
	rm -rf build
