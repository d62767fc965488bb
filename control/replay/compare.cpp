#include "control/replay/compare.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/replay/capture.hpp"
#include "control/replay/decode.hpp"

namespace sluice::control {
namespace {

constexpr CaptureTime kSecond = 1'000'000'000;
constexpr std::size_t kHexLine = 16;

/// A capture with one frame of foresight.
class Ahead {
 public:
  explicit Ahead(Capture capture) : capture_(std::move(capture)) {
    advance();
    advance();
  }
  [[nodiscard]] const std::optional<CapturedFrame>& frame() const { return frame_; }
  [[nodiscard]] const std::optional<CapturedFrame>& after() const { return after_; }
  [[nodiscard]] std::uint64_t frames() const { return capture_.frames(); }
  void advance() {
    std::swap(frame_, after_);
    const CapturedFrame* next = capture_.next();
    if (next == nullptr) {
      after_.reset();
    } else {
      after_ = *next;
    }
  }

 private:
  Capture capture_;
  std::optional<CapturedFrame> frame_;
  std::optional<CapturedFrame> after_;
};

std::string hex_line(std::span<const std::uint8_t> bytes, std::size_t offset) {
  const auto part = bytes.subspan(std::min(offset, bytes.size()));
  return fmt::format("{:02x}", fmt::join(part.first(std::min(part.size(), kHexLine)), " "));
}

/// One line on what a frame is.
std::string summary(const CapturedFrame& frame) {
  std::string line = fmt::format("{}, {} bytes", written(frame.time), frame.bytes.size());
  for (const DecodedField& field : decode(frame.bytes)) {
    if (field.name.starts_with("dl_") || field.name.starts_with("nw_src") || field.name.starts_with("nw_dst") ||
        field.name.starts_with("nw_proto") || field.name.starts_with("ipv6_") || field.name.starts_with("tp_") ||
        field.name.ends_with(" tag") || field.name == "arp_op") {
      line += fmt::format(", {} {}", field.name, field.value);
    }
  }
  return line;
}

}  // namespace

std::string written(CaptureTime time) {
  const std::time_t seconds = time / kSecond;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:09} UTC", fmt::gmtime(seconds), time % kSecond);
}

std::vector<std::string> differences(const CapturedFrame& actual, const CapturedFrame& expected) {
  std::vector<std::string> lines;
  if (actual.time != expected.time) {
    lines.push_back(fmt::format("time: {}, expected {}", written(actual.time), written(expected.time)));
  }
  if (actual.bytes == expected.bytes) return lines;
  if (actual.bytes.size() != expected.bytes.size()) {
    lines.push_back(fmt::format("length: {}, expected {}", actual.bytes.size(), expected.bytes.size()));
  }
  const auto is = decode(actual.bytes);
  const auto should = decode(expected.bytes);
  const auto find = [](const std::vector<DecodedField>& fields, const std::string& name) {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const DecodedField& f) { return f.name == name; });
    return found == fields.end() ? std::string("not there") : found->value;
  };
  for (const DecodedField& field : should) {
    if (const std::string value = find(is, field.name); value != field.value) {
      lines.push_back(fmt::format("{}: {}, expected {}", field.name, value, field.value));
    }
  }
  for (const DecodedField& field : is) {
    if (find(should, field.name) == "not there") {
      lines.push_back(fmt::format("{}: {}, expected not there", field.name, field.value));
    }
  }
  const auto [a, b] =
      std::mismatch(actual.bytes.begin(), actual.bytes.end(), expected.bytes.begin(), expected.bytes.end());
  const auto first = static_cast<std::size_t>(a - actual.bytes.begin());
  const std::size_t line = first / kHexLine * kHexLine;
  lines.push_back(fmt::format("byte {} is the first that differs; from byte {} on:", first, line));
  lines.push_back(fmt::format("  is        {}", hex_line(actual.bytes, line)));
  lines.push_back(fmt::format("  expected  {}", hex_line(expected.bytes, line)));
  return lines;
}

Expected<std::vector<std::string>> compare_captures(const std::string& name, const std::string& actual_path,
                                                    const std::string& expected_path) {
  auto actual_capture = Capture::open(actual_path);
  if (!actual_capture) return tl::unexpected(actual_capture.error());
  auto expected_capture = Capture::open(expected_path);
  if (!expected_capture) return tl::unexpected(expected_capture.error());
  Ahead actual(*std::move(actual_capture));
  Ahead expected(*std::move(expected_capture));

  std::uint64_t number = 1;
  for (; actual.frame() && expected.frame() && *actual.frame() == *expected.frame(); ++number) {
    actual.advance();
    expected.advance();
  }
  if (!actual.frame() && !expected.frame()) return std::vector<std::string>{};

  std::vector<std::string> lines{
      fmt::format("{}: frame {} differs ({} frames, expected {})", name, number, actual.frames(), expected.frames())};
  // One frame is missing or too many, if one side's next is the other side's present one.
  const bool both = actual.frame() && expected.frame();
  const bool expected_is_ahead = both && actual.after() == expected.frame();
  const bool actual_is_ahead = both && expected.after() == actual.frame();
  if (!actual.frame() || (actual_is_ahead && !expected_is_ahead)) {
    lines.push_back("  expected and not there: " + summary(*expected.frame()));
  } else if (!expected.frame() || (expected_is_ahead && !actual_is_ahead)) {
    lines.push_back("  there and not expected: " + summary(*actual.frame()));
  } else {
    lines.push_back("  is:       " + summary(*actual.frame()));
    lines.push_back("  expected: " + summary(*expected.frame()));
    for (const std::string& line : differences(*actual.frame(), *expected.frame())) lines.push_back("  " + line);
  }
  return lines;
}

}  // namespace sluice::control
