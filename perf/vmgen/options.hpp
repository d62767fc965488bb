// What vmgen was asked to do: its command line as values. Read once at start, then only looked at.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace sluice::vmgen {

template <typename T>
using Expected = tl::expected<T, std::string>;

using Mac = std::array<std::uint8_t, 6>;

enum class Pattern : std::uint8_t { kPairs, kOneWay, kEach, kFlood, kEcho };
enum class Protocol : std::uint8_t { kUdp, kTcp };
enum class Distribution : std::uint8_t { kRoundRobin, kUniform, kZipf };
enum class Verify : std::uint8_t { kProbe, kFull };

const char* name_of(Pattern pattern);
const char* name_of(Protocol protocol);
const char* name_of(Distribution distribution);
const char* name_of(Verify verify);

constexpr std::size_t kMostVms = 32;
constexpr std::uint32_t kMostFlows = 1'000'000;
constexpr std::uint32_t kSmallestFrame = 64;
constexpr std::uint32_t kLargestFrame = 9000;
constexpr std::uint32_t kLargestTso = 65'000;
constexpr std::uint16_t kTsoSegment = 1448;

/// One VM: the virtio-user port that it is.
struct VmOptions {
  std::string name;
  std::string path;
  Mac mac{};
  bool server = true;
  bool packed = false;
  bool mergeable = true;
  bool in_order = true;
  std::uint16_t queues = 1;
  std::uint16_t queue_size = 1024;
};

/// Which of a frame's fields tell its flow.
struct Vary {
  bool src_ip = false;
  bool dst_ip = false;
  bool src_port = false;
  bool dst_port = false;
};

struct Options {
  std::vector<VmOptions> vms;

  Pattern pattern = Pattern::kPairs;
  Mac echo_mac{0x02, 0, 0, 0, 0xee, 0};
  std::uint32_t size = 64;
  bool imix = false;
  std::uint32_t tso = 0;  ///< bytes of a TSO frame; 0: none
  Protocol protocol = Protocol::kUdp;
  bool checksum_offload = false;
  std::uint32_t flows = 1;
  Vary vary;
  Distribution distribution = Distribution::kRoundRobin;
  double zipf_exponent = 1.0;
  double new_flows = 0;      ///< a second and sender
  double rate = 0;           ///< frames a second and sender; 0: as fast as possible
  std::uint32_t window = 0;  ///< frames of a sender that are on their way at once; 0: as many as rings take

  double duration = 10;  ///< seconds; 0: until a signal
  double warm_up = 0;
  double timeout = 30;
  std::uint32_t drain_ms = 100;
  std::uint32_t interval_ms = 0;
  Verify verify = Verify::kProbe;
  bool search = false;
  double search_loss_percent = 0;
  double search_trial = 1;
  double search_precision_percent = 1;
  std::string json;  ///< file, "-" for stdout, or empty

  unsigned core = 0;
  unsigned nap_us = 0;     ///< slept after a turn that has moved nothing; 0: it polls all the time
  unsigned memory_mb = 0;  ///< 0: computed
  std::uint64_t seed = 1;

  [[nodiscard]] std::uint32_t largest_frame() const { return tso != 0 ? tso : imix ? 1518 : size; }
  [[nodiscard]] std::vector<std::string> vary_names() const;
};

/// Reads the command line. Exits by itself for --help and for what CLI11 refuses; the error is what it cannot see.
Expected<Options> parse_options(int argc, char** argv);

/// As 02:00:00:00:01:00.
std::string to_string(const Mac& mac);

}  // namespace sluice::vmgen
