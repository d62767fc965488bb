#include "control/replay/capture.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <pcap/pcap.h>

#include "ports/frame.hpp"

namespace sluice::control {
namespace {

constexpr CaptureTime kSecond = 1'000'000'000;

struct PcapCloser {
  void operator()(pcap_t* pcap) const { pcap_close(pcap); }
};
using Pcap = std::unique_ptr<pcap_t, PcapCloser>;

tl::unexpected<Error> failed(const std::string& path, const std::string& what) {
  return tl::unexpected(Error{fmt::format("{}: {}", path, what)});
}

Expected<Pcap> open_pcap(const std::string& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::fifo || type == std::filesystem::file_type::socket) {
    return failed(path, "is a pipe, and a capture is read twice; right is a file");
  }
  char message[PCAP_ERRBUF_SIZE] = "";
  Pcap pcap(pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, message));
  if (pcap == nullptr) {
    // libpcap begins some of its messages with the path.
    std::string what = message;
    if (what.starts_with(path + ": ")) what.erase(0, path.size() + 2);
    return failed(path, fmt::format("no capture that can be read: {}; right is a pcap or pcapng file", what));
  }
  const int link_type = pcap_datalink(pcap.get());
  if (link_type != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_description(link_type);
    return failed(path, fmt::format("its frames are {} (link type {}), a switch takes Ethernet (link type 1)",
                                    name != nullptr ? name : "of an unknown kind", link_type));
  }
  return pcap;
}

/// Nothing for a time that a pcap file, which is what comes out, cannot hold; pcapng can.
bool time_of(const pcap_pkthdr& header, CaptureTime& time) {
  constexpr CaptureTime kEnd = CaptureTime{1} << 32U;
  // A pcap file's seconds are 32 bits without a sign, which libpcap gives one: from 2038 on, they are below zero.
  const CaptureTime seconds = header.ts.tv_sec < 0 ? header.ts.tv_sec + kEnd : header.ts.tv_sec;
  if (seconds < 0 || seconds >= kEnd) return false;
  // With PCAP_TSTAMP_PRECISION_NANO, tv_usec are nanoseconds.
  if (header.ts.tv_usec < 0 || header.ts.tv_usec >= kSecond) return false;
  time = seconds * kSecond + header.ts.tv_usec;
  return true;
}

bool read(pcap_t* pcap, CapturedFrame& frame) {
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  while (pcap_next_ex(pcap, &header, &bytes) == 1) {
    if (!time_of(*header, frame.time) || header->len > ports::kMaxFrameSize) continue;
    const std::size_t kept = std::min(header->caplen, header->len);
    frame.bytes.assign(bytes, bytes + kept);
    frame.bytes.resize(header->len);
    return true;
  }
  return false;
}

/// What a first reading finds out.
struct Survey {
  std::uint64_t frames = 0;
  std::uint64_t cut = 0;  ///< shorter in the file than on the wire
  std::uint64_t too_long = 0;
  std::uint64_t bad_time = 0;
  std::uint64_t backwards = 0;  ///< earlier than the one before
  std::string end;              ///< why it ended early
};

Survey survey(pcap_t* pcap) {
  Survey found;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  CaptureTime latest = 0;
  int result = 0;
  while ((result = pcap_next_ex(pcap, &header, &bytes)) == 1) {
    CaptureTime time = 0;
    if (!time_of(*header, time)) {
      ++found.bad_time;
    } else if (header->len > ports::kMaxFrameSize) {
      ++found.too_long;
    } else {
      ++found.frames;
      if (header->caplen < header->len) ++found.cut;
      if (time < latest) ++found.backwards;
      latest = std::max(latest, time);
    }
  }
  if (result == PCAP_ERROR) found.end = pcap_geterr(pcap);
  return found;
}

std::vector<std::string> warnings_of(const std::string& path, const Survey& found) {
  std::vector<std::string> warnings;
  const auto warn = [&](std::uint64_t count, const std::string& what) {
    if (count != 0) warnings.push_back(fmt::format("{}: {} {} {}", path, count, count == 1 ? "frame" : "frames", what));
  };
  if (!found.end.empty()) {
    warnings.push_back(fmt::format("{}: cut off or damaged behind its frame {}: {}; the frames before are used", path,
                                   found.frames + found.too_long + found.bad_time, found.end));
  }
  warn(found.cut, "cut short by the capture's snap length; zeros stand for what is not there");
  warn(found.too_long, fmt::format("left out: longer than {} bytes, which no frame is", ports::kMaxFrameSize));
  warn(found.bad_time, "left out: their time cannot be");
  warn(found.backwards, "earlier than one before; all are sorted by time");
  return warnings;
}

}  // namespace

struct Capture::State {
  std::string path;
  Pcap pcap;
  Survey survey;
  std::vector<std::string> warnings;
  CapturedFrame current;
  std::vector<CapturedFrame> sorted;  ///< all frames, if they had to be
  std::size_t next_sorted = 0;
};

Capture::Capture(std::unique_ptr<State> state) : state_(std::move(state)) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

Expected<Capture> Capture::open(const std::string& path) {
  // "-" is standard input to libpcap, and that cannot be read twice.
  auto first = open_pcap(path == "-" ? "./-" : path);
  if (!first) return tl::unexpected(first.error());
  auto state = std::make_unique<State>();
  state->path = path;
  state->survey = survey(first->get());
  state->warnings = warnings_of(path, state->survey);
  auto second = open_pcap(path == "-" ? "./-" : path);
  if (!second) return tl::unexpected(second.error());
  state->pcap = *std::move(second);
  if (state->survey.backwards != 0) {
    CapturedFrame frame;
    while (read(state->pcap.get(), frame)) state->sorted.push_back(frame);
    std::stable_sort(state->sorted.begin(), state->sorted.end(),
                     [](const CapturedFrame& a, const CapturedFrame& b) { return a.time < b.time; });
  }
  return Capture(std::move(state));
}

const CapturedFrame* Capture::next() {
  if (state_->survey.backwards == 0) return read(state_->pcap.get(), state_->current) ? &state_->current : nullptr;
  if (state_->next_sorted == state_->sorted.size()) return nullptr;
  return &state_->sorted[state_->next_sorted++];
}

const std::string& Capture::path() const { return state_->path; }
std::uint64_t Capture::frames() const { return state_->survey.frames; }
const std::vector<std::string>& Capture::warnings() const { return state_->warnings; }

}  // namespace sluice::control
