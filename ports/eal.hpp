// Eal: DPDK's environment (memory, devices, logging), started once a process, and threads' membership in it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace sluice::ports {

struct EalOptions {
  bool hugepages = false;  ///< false: ordinary memory; physical devices need true
  std::uint32_t megabytes = 128;
  bool pci = false;  ///< let ports attach PCI devices; none is taken before
  /// Given each line DPDK has to say, and its RTE_LOG_* level (1 emergency to 8 debug), on whatever thread says it.
  std::function<void(unsigned level, std::string_view line)> log;
};

class Eal {
 public:
  /// Starts DPDK on the calling thread, whose CPU affinity and signal mask are afterwards as they were. Once in a
  /// process: DPDK cannot be started a second time, even if it was stopped or failed to start.
  [[nodiscard]] static tl::expected<Eal, std::string> start(const EalOptions& options);
  ~Eal();
  Eal(Eal&&) noexcept;
  Eal& operator=(Eal&&) = delete;

 private:
  struct Log;
  explicit Eal(std::unique_ptr<Log> log);
  std::unique_ptr<Log> log_;  ///< null when moved from
};

/// The first error that DPDK logs on this thread while it lives: the reason of a failure, of which error numbers say
/// little.
class FirstError {
 public:
  FirstError();
  ~FirstError();
  FirstError(const FirstError&) = delete;
  FirstError& operator=(const FirstError&) = delete;

  /// Without the name of the function in DPDK that a driver puts in front; empty if there was none.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  friend class Eal;
  static thread_local FirstError* listening;
  std::string text_;
  FirstError* const before_;
};

/// Makes the calling thread one that DPDK knows while this lives: it then has its own caches of mbufs.
class EalThread {
 public:
  /// Fails if DPDK knows as many threads as it can (RTE_MAX_LCORE, 128).
  [[nodiscard]] static tl::expected<EalThread, std::string> enter();
  ~EalThread();
  EalThread(EalThread&& other) noexcept : member_(std::exchange(other.member_, false)) {}
  EalThread& operator=(EalThread&&) = delete;

 private:
  explicit EalThread(bool member) : member_(member) {}
  bool member_;
};

}  // namespace sluice::ports
