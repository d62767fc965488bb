// Files for the tests of captures: a folder of its own for each test, and ways to fill it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/replay/capture.hpp"
#include "control/replay/capture_writer.hpp"

namespace sluice::control {

class WithFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        std::filesystem::temp_directory_path() / (std::string("sluice-") + test->name() + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::vector<CapturedFrame>& frames) {
    auto writer = CaptureWriter::create(path(name));
    if (!writer) ADD_FAILURE() << writer.error().message;
    for (const CapturedFrame& frame : frames) writer->write(frame.time, frame.bytes);
    EXPECT_TRUE(writer->finish());
    return path(name);
  }
  std::string write_bytes(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  static std::string bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  static std::vector<CapturedFrame> read(const std::string& file) {
    auto capture = Capture::open(file);
    if (!capture) {
      ADD_FAILURE() << capture.error().message;
      return {};
    }
    std::vector<CapturedFrame> frames;
    while (const CapturedFrame* frame = capture->next()) frames.push_back(*frame);
    EXPECT_EQ(frames.size(), capture->frames());
    return frames;
  }

 private:
  std::filesystem::path folder_;
};

/// Little-endian, as the files here are.
inline std::string u32(std::uint32_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> 8 * i & 0xffU);
  return out;
}
inline std::string u16(std::uint16_t value) { return u32(value).substr(0, 2); }

/// The head of a pcap file.
inline std::string pcap_head(std::uint32_t magic, std::uint32_t link_type, std::uint32_t snap_length = 65536) {
  return u32(magic) + u16(2) + u16(4) + u32(0) + u32(0) + u32(snap_length) + u32(link_type);
}
/// A frame in it.
inline std::string pcap_record(std::uint32_t seconds, std::uint32_t part, const std::string& bytes,
                               std::uint32_t length) {
  return u32(seconds) + u32(part) + u32(static_cast<std::uint32_t>(bytes.size())) + u32(length) + bytes;
}
inline constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;
inline constexpr std::uint32_t kNanoseconds = 0xa1b23c4d;

}  // namespace sluice::control
