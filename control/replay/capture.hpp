// Capture: reads the frames of a pcap or pcapng file, in time order, with nanoseconds.
//
// A file is read through once when it is opened, so that what is wrong with it is known before the first frame is
// used: that it is cut off, that its frames are, that they are out of order. Frames that are in order are then
// streamed; a file whose frames are not is held in memory, sorted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/error.hpp"
#include "control/replay/captured_frame.hpp"

namespace sluice::control {

class Capture {
 public:
  /// Fails if the file cannot be read, is no capture, or is one of something else than Ethernet.
  [[nodiscard]] static Expected<Capture> open(const std::string& path);
  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  /// The next frame, null at the end; valid until the next call. A frame that the capture cut off is as long as it
  /// was on the wire, with zeros for what is not known.
  [[nodiscard]] const CapturedFrame* next();

  [[nodiscard]] const std::string& path() const;
  /// How many frames there are in all.
  [[nodiscard]] std::uint64_t frames() const;
  /// What is not as it should be, a line each: the file ends in the middle of a frame, say.
  [[nodiscard]] const std::vector<std::string>& warnings() const;

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::control
