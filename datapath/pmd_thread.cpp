#include "datapath/pmd_thread.hpp"

#include <pthread.h>
#include <rte_pause.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "datapath/clock.hpp"
#include "ports/eal.hpp"

namespace sluice::datapath {
namespace {

using std::chrono::microseconds;

/// Loops without work before a PMD that may sleep does: some tens of microseconds.
constexpr unsigned kLoopsBeforeSleep = 512;
constexpr microseconds kFirstSleep{1};

void ignore(int /*signal*/) {}

void pin_to(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  // The configuration was checked against the machine; a core taken offline since leaves the thread unpinned.
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace

PmdThread::PmdThread(Pmd& pmd, unsigned core, microseconds idle_sleep)
    : pmd_(pmd), core_(core), idle_sleep_(idle_sleep) {
  struct sigaction action = {};
  action.sa_handler = ignore;  // without SA_RESTART: the call it interrupts returns
  sigaction(SIGURG, &action, nullptr);
  thread_ = std::thread([this] { run(); });
}

PmdThread::~PmdThread() {
  stop_.store(true, std::memory_order_relaxed);
  thread_.join();
}

void PmdThread::interrupt() { pthread_kill(thread_.native_handle(), SIGURG); }

void PmdThread::run() {
  kernel_id_.store(::gettid(), std::memory_order_relaxed);
  char name[16];
  std::snprintf(name, sizeof name, "pmd-%u", core_);
  pthread_setname_np(pthread_self(), name);
  pin_to(core_);
  prctl(PR_SET_TIMERSLACK, 1UL);  // ns: a sleep is as short as it was asked to be
  // Without it (DPDK knows all the threads it can) buffers come from the shared ring: slower, and nothing else.
  const auto registered = ports::EalThread::enter();

  unsigned idle_loops = 0;
  microseconds sleep = kFirstSleep;
  while (!stop_.load(std::memory_order_relaxed)) {
    if (pmd_.run_once(now_ns())) {
      idle_loops = 0;
      sleep = kFirstSleep;
    } else if (++idle_loops < kLoopsBeforeSleep || idle_sleep_.count() == 0) {
      rte_pause();
    } else {
      std::this_thread::sleep_for(std::min(sleep, idle_sleep_));
      sleep *= 2;
      if (sleep > idle_sleep_) sleep = idle_sleep_;
    }
  }
}

}  // namespace sluice::datapath
