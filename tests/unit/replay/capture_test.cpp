// Captures: written and read back, in every form that files have, and damaged.
#include <sys/stat.h>

#include <random>

#include <gmock/gmock.h>

#include "control/replay/merge.hpp"
#include "tests/unit/replay/files.hpp"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using CaptureFile = WithFolder;

std::vector<CapturedFrame> some_frames(unsigned seed, std::size_t count) {
  std::mt19937_64 random(seed);
  std::vector<CapturedFrame> frames;
  CaptureTime time = 1'700'000'000'123'456'789;
  for (std::size_t i = 0; i < count; ++i) {
    time += static_cast<CaptureTime>(random() % 3 * (random() % 2'000'000'000));
    CapturedFrame frame{time, std::vector<std::uint8_t>(1 + random() % 3000)};
    for (auto& byte : frame.bytes) byte = static_cast<std::uint8_t>(random());
    frames.push_back(frame);
  }
  return frames;
}

TEST_F(CaptureFile, what_is_written_is_read_back_to_the_nanosecond) {
  const auto frames = some_frames(1, 200);
  EXPECT_EQ(read(write("a.pcap", frames)), frames);
}

TEST_F(CaptureFile, the_same_frames_are_the_same_bytes) {
  const auto frames = some_frames(2, 50);
  EXPECT_EQ(bytes_of(write("a.pcap", frames)), bytes_of(write("b.pcap", frames)));
}

TEST_F(CaptureFile, one_without_frames_has_a_head) {
  const std::string file = write("a.pcap", {});
  EXPECT_EQ(bytes_of(file).size(), 24U);
  EXPECT_THAT(read(file), IsEmpty());
}

TEST_F(CaptureFile, microseconds_become_nanoseconds) {
  const auto file = write_bytes("a.pcap", pcap_head(kMicroseconds, 1) + pcap_record(7, 5, "abcdefghijklmn", 14));
  ASSERT_EQ(read(file).size(), 1U);
  EXPECT_EQ(read(file)[0].time, 7'000'005'000);
}

TEST_F(CaptureFile, pcapng_is_read_with_its_resolution) {
  const auto block = [](std::uint32_t type, std::string body) {
    body.resize((body.size() + 3) / 4 * 4);
    const auto size = static_cast<std::uint32_t>(body.size() + 12);
    return u32(type) + u32(size) + body + u32(size);
  };
  const std::string section = block(0x0a0d0d0a, u32(0x1a2b3c4d) + u16(1) + u16(0) + u32(~0U) + u32(~0U));
  // Option 9 is if_tsresol: 10 to the minus 9.
  const std::string interface =
      block(1, u16(1) + u16(0) + u32(65536) + u16(9) + u16(1) + std::string("\x09\0\0\0", 4) + u32(0));
  const std::uint64_t time = 1'700'000'000'000'000'001;
  const std::string packet = block(6, u32(0) + u32(static_cast<std::uint32_t>(time >> 32U)) +
                                          u32(static_cast<std::uint32_t>(time)) + u32(14) + u32(14) + "abcdefghijklmn");
  const auto frames = read(write_bytes("a.pcapng", section + interface + packet));
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].time, static_cast<CaptureTime>(time));
  EXPECT_EQ(std::string(frames[0].bytes.begin(), frames[0].bytes.end()), "abcdefghijklmn");
}

TEST_F(CaptureFile, times_are_of_32_bits_of_seconds_without_a_sign) {
  const std::vector<CapturedFrame> frames{
      {0, {1}}, {(CaptureTime{1} << 31U) * 1'000'000'000, {2}}, {(CaptureTime{1} << 32U) * 1'000'000'000 - 1, {3}}};
  const auto file = write("a.pcap", frames);
  EXPECT_EQ(read(file), frames);
  EXPECT_THAT(Capture::open(file)->warnings(), IsEmpty());
}

TEST_F(CaptureFile, a_pipe_is_refused_by_name) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(Capture::open(path("pipe")).error().message,
            path("pipe") + ": is a pipe, and a capture is read twice; right is a file");
}

TEST_F(CaptureFile, one_that_is_cut_off_anywhere_gives_what_is_there_and_a_warning) {
  const auto frames = some_frames(3, 6);
  const std::string whole = bytes_of(write("a.pcap", frames));
  std::size_t ends = 0;
  for (std::size_t size = 25; size < whole.size(); size += 97) {
    const auto capture = Capture::open(write_bytes("b.pcap", whole.substr(0, size)));
    ASSERT_TRUE(capture) << size;
    EXPECT_LT(capture->frames(), frames.size());
    const auto part = read(path("b.pcap"));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), frames.begin()));
    if (capture->warnings().empty()) {
      ++ends;  // right between two frames
    } else {
      EXPECT_THAT(capture->warnings(),
                  ElementsAre(HasSubstr("cut off or damaged behind its frame " + std::to_string(part.size()) + ":")));
    }
  }
  EXPECT_LT(ends, 6U);
}

TEST_F(CaptureFile, frames_that_are_cut_off_get_zeros_and_a_warning) {
  const auto file = write_bytes("a.pcap", pcap_head(kNanoseconds, 1, 4) + pcap_record(0, 0, "abcd", 8));
  const auto capture = Capture::open(file);
  EXPECT_THAT(
      capture->warnings(),
      ElementsAre(file + ": 1 frame cut short by the capture's snap length; zeros stand for what is not there"));
  EXPECT_THAT(read(file)[0].bytes, ElementsAre('a', 'b', 'c', 'd', 0, 0, 0, 0));
}

TEST_F(CaptureFile, frames_longer_than_any_are_left_out_with_a_warning) {
  const auto file = write_bytes("a.pcap", pcap_head(kNanoseconds, 1, 262144) + pcap_record(0, 0, "abcd", 65558) +
                                              pcap_record(0, 0, std::string(65557, 'x'), 65557));
  EXPECT_THAT(Capture::open(file)->warnings(), ElementsAre(HasSubstr("1 frame left out: longer than 65557 bytes")));
  ASSERT_EQ(read(file).size(), 1U);
  EXPECT_EQ(read(file)[0].bytes.size(), 65557U);
}

TEST_F(CaptureFile, frames_out_of_order_are_sorted_with_a_warning) {
  const std::vector<CapturedFrame> frames{{5, {1}}, {3, {2}}, {5, {3}}, {4, {4}}, {3, {5}}};
  const auto file = write("a.pcap", frames);
  EXPECT_THAT(Capture::open(file)->warnings(),
              ElementsAre(HasSubstr("3 frames earlier than one before; all are sorted by time")));
  EXPECT_THAT(read(file), ElementsAre(frames[1], frames[4], frames[3], frames[0], frames[2]));
}

TEST_F(CaptureFile, what_is_no_ethernet_or_no_capture_is_refused_by_name) {
  const auto error = [&](const std::string& bytes) {
    return Capture::open(write_bytes("a.pcap", bytes)).error().message;
  };
  EXPECT_THAT(error(pcap_head(kNanoseconds, 101)),
              HasSubstr("its frames are Raw IP (link type 12), a switch takes Ethernet"));
  EXPECT_THAT(error(pcap_head(kNanoseconds, 113)), HasSubstr("Linux cooked v1 (link type 113)"));
  EXPECT_THAT(error("hello, I am no capture at all"),
              HasSubstr("a.pcap: no capture that can be read: unknown file format; right is a pcap"));
  EXPECT_THAT(error(""), HasSubstr("no capture that can be read: truncated dump file"));
  EXPECT_EQ(Capture::open("/does/not/exist").error().message,
            "/does/not/exist: no capture that can be read: No such file or directory; right is a pcap or pcapng file");
}

TEST_F(CaptureFile, a_file_that_cannot_be_written_is_told_by_name) {
  EXPECT_EQ(CaptureWriter::create("/does/not/exist.pcap").error().message,
            "/does/not/exist.pcap: cannot be written: No such file or directory");
  auto full = CaptureWriter::create("/dev/full");
  ASSERT_TRUE(full);
  full->write(0, std::vector<std::uint8_t>(100'000));
  EXPECT_THAT(full->finish().error().message, HasSubstr("/dev/full: not all of it could be written"));
}

/// The law of merge: a stable sort by time of all frames, those of the first input in front.
TEST_F(CaptureFile, inputs_are_merged_by_time_and_then_by_their_order) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<Capture> captures;
    std::vector<std::pair<std::size_t, CapturedFrame>> all;
    for (std::size_t input = 0; input < 4; ++input) {
      std::vector<CapturedFrame> frames;
      CaptureTime time = 0;
      for (std::uint8_t i = 0; i < random() % 50; ++i) {
        time += random() % 3;
        frames.push_back({time, {static_cast<std::uint8_t>(input), i}});
        all.emplace_back(input, frames.back());
      }
      captures.push_back(*Capture::open(write(std::to_string(input), frames)));
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.second.time < b.second.time; });
    Merge merge(std::move(captures));
    for (const auto& [input, frame] : all) {
      const auto next = merge.next();
      ASSERT_NE(next.frame, nullptr);
      EXPECT_EQ(next.input, input);
      EXPECT_EQ(*next.frame, frame);
    }
    EXPECT_EQ(merge.next().frame, nullptr);
    EXPECT_EQ(merge.next().frame, nullptr);
  }
}

}  // namespace
}  // namespace sluice::control
