// The law with packets that were not made here: those of the replay cases' captures and scapy's (IPv6 extension
// headers, fragments, MPLS, QinQ, SCTP, IGMP, LLC, spanning tree), whole and cut off, each one once and again.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "control/replay/capture.hpp"
#include "tests/unit/law/episodes.hpp"
#include "tests/unit/parse/scapy_cases.hpp"

namespace sluice::test {
namespace {

using control::testing::one_in;

constexpr std::size_t kSeeds = 8;
constexpr std::size_t kLongest = 1500;

std::vector<Bytes> captured_frames() {
  std::vector<Bytes> frames;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SLUICE_SOURCE_DIR "/tests/replay")) {
    if (entry.path().extension() != ".pcap" || entry.path().parent_path().filename() != "in") continue;
    auto capture = control::Capture::open(entry.path());
    if (!capture) throw std::runtime_error(capture.error().message);
    while (const auto* frame = capture->next()) frames.emplace_back(frame->bytes.begin(), frame->bytes.end());
  }
  for (auto& scapy : scapy_cases(600)) frames.push_back(std::move(scapy.frame));
  for (auto& frame : frames) frame.resize(std::min(frame.size(), kLongest));
  std::sort(frames.begin(), frames.end());
  frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
  return frames;
}

const std::vector<Bytes>& captures() {
  static const std::vector<Bytes> all = captured_frames();
  return all;
}

class LawOfCaptures : public Episodes {
 protected:
  Body new_body() override {
    // All seeds together use each.
    const std::size_t at = next_++ * kSeeds + static_cast<std::size_t>(GetParam());
    Body body{.in_port = any_port(), .bytes = captures()[at % captures().size()], .offload = {}};
    const bool whole_header = body.bytes.size() >= 14;  // captures have runts too
    if (whole_header && one_in(random_, 6)) body.bytes.resize(14 + any(static_cast<unsigned>(body.bytes.size() - 13)));
    // As captured, or by addresses and VLANs that the rules and the other packets know.
    if (whole_header && !one_in(random_, 3)) {
      const auto known = control::testing::random_key(random_, control::testing::random_class(random_), 0);
      std::ranges::copy(known.dl_dst.bytes, body.bytes.begin());
      std::ranges::copy(known.dl_src.bytes, body.bytes.begin() + 6);
      const bool tagged =
          (body.bytes[12] == 0x81 && body.bytes[13] == 0) || (body.bytes[12] == 0x88 && body.bytes[13] == 0xa8);
      if (tagged && body.bytes.size() >= 18) {
        body.bytes[14] = static_cast<std::uint8_t>(body.bytes[14] & 0xf0U);
        body.bytes[15] = static_cast<std::uint8_t>(any(4));
      }
    }
    body.bytes.resize(std::max<std::size_t>(body.bytes.size(), 60) + kTail);
    return body;
  }
  std::size_t next_ = 0;
};

TEST_P(LawOfCaptures, what_comes_out_is_what_the_pipeline_says_at_that_moment) {
  obey_the_law();
  EXPECT_GE(next_ * kSeeds, captures().size()) << "some were not tried";
}

INSTANTIATE_TEST_SUITE_P(Seeds, LawOfCaptures, ::testing::Range(0, static_cast<int>(kSeeds)));

}  // namespace
}  // namespace sluice::test
