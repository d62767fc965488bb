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
  kernel_id_.wait(0, std::memory_order_relaxed);  // who watches it has to know it before it works
}

PmdThread::~PmdThread() {
  // relaxed: whoever joins sees all that the thread has done.
  wish_.store(Wish::end, std::memory_order_relaxed);
  wish_.notify_one();
  thread_.join();
}

void PmdThread::go() {
  // release: what was made ready for the PMD since it rested.
  wish_.store(Wish::work, std::memory_order_release);
  wish_.notify_one();
}

void PmdThread::rest() {
  // seq_cst, here and where the thread begins to work: either we see that it has begun, or it sees that it shall not.
  wish_.store(Wish::rest, std::memory_order_seq_cst);
  rests_.wait(false, std::memory_order_seq_cst);
}

void PmdThread::interrupt() { pthread_kill(thread_.native_handle(), SIGURG); }

void PmdThread::run() {
  kernel_id_.store(::gettid(), std::memory_order_relaxed);
  kernel_id_.notify_all();
  char name[16];
  std::snprintf(name, sizeof name, "pmd-%u", core_);
  pthread_setname_np(pthread_self(), name);
  pin_to(core_);
  prctl(PR_SET_TIMERSLACK, 1UL);  // ns: a sleep is as short as it was asked to be
  // Without it (DPDK knows all the threads it can) buffers come from the shared ring: slower, and nothing else.
  const auto registered = ports::EalThread::enter();

  for (Wish wish = wish_.load(std::memory_order_acquire); wish != Wish::end;
       wish = wish_.load(std::memory_order_acquire)) {
    if (wish == Wish::work) {
      rests_.store(false, std::memory_order_seq_cst);
      if (wish_.load(std::memory_order_seq_cst) == Wish::work) work();
    } else {
      rests_.store(true, std::memory_order_release);
      rests_.notify_one();
      wish_.wait(Wish::rest, std::memory_order_acquire);
    }
  }
}

/// Until something else is wished for.
void PmdThread::work() {
  unsigned idle_loops = 0;
  microseconds sleep = kFirstSleep;
  while (wish_.load(std::memory_order_relaxed) == Wish::work) {
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
