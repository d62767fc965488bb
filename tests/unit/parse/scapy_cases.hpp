// Packets of all kinds that scapy makes, and what it says is in them: scapy_packets.py's lines.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace sluice::test {

struct ScapyCase {
  std::vector<std::uint8_t> frame;
  std::map<std::string, std::string> fields;  ///< in hex, without leading zeros
  std::string text;
};

inline std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 65536> buffer;
  for (std::size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) != 0;) output.append(buffer.data(), n);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

/// The same ones every time.
inline std::vector<ScapyCase> scapy_cases(unsigned count) {
  std::vector<ScapyCase> read;
  std::istringstream lines(
      output_of("/usr/bin/python3 " SLUICE_SOURCE_DIR "/tests/unit/parse/scapy_packets.py " + std::to_string(count)));
  for (std::string line; std::getline(lines, line);) {
    ScapyCase next;
    next.text = line;
    std::istringstream words(line);
    std::string hex;
    words >> hex;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      next.frame.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      next.fields[word.substr(0, equals)] = word.substr(equals + 1);
    }
    read.push_back(std::move(next));
  }
  return read;
}

}  // namespace sluice::test
