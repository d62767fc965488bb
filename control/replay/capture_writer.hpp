// CaptureWriter: writes frames to a pcap file with nanoseconds. The same frames give the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "control/error.hpp"
#include "control/replay/captured_frame.hpp"

struct pcap;
struct pcap_dumper;

namespace sluice::control {

class CaptureWriter {
 public:
  /// Makes the file, or empties it.
  [[nodiscard]] static Expected<CaptureWriter> create(const std::string& path);

  void write(CaptureTime time, std::span<const std::uint8_t> bytes);
  /// Everything is in the file when this returns. Says so if some of it could not be written.
  [[nodiscard]] Expected<void> finish();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t frames() const { return frames_; }

 private:
  struct Closer {
    void operator()(pcap* handle) const;
    void operator()(pcap_dumper* dumper) const;
  };
  CaptureWriter() = default;

  std::string path_;
  std::unique_ptr<pcap, Closer> handle_;
  std::unique_ptr<pcap_dumper, Closer> dumper_;
  std::uint64_t frames_ = 0;
};

}  // namespace sluice::control
