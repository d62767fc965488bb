// Probe: what every frame carries, 22 bytes that fit into the smallest frame; and where in a frame each word is.
//
//   UDP  |42 magic, 2 |44 order, 8               |52 stamp, 8        |60 CRC, 4   = the payload's first 22 bytes
//   TCP  |38 order, 8 (sequence and ack number)  |48 CRC's upper half (window) |52 its lower half (urgent pointer)
//        |54 magic, 2 |56 stamp, 8                                             = the payload's first 10 bytes
//
// TCP's header takes part because a frame of 64 bytes leaves only 10 behind it. Words are in host byte order: sender
// and receiver are one process.
#pragma once

#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "perf/vmgen/options.hpp"

namespace sluice::vmgen {

constexpr std::uint32_t kHead = 64;  ///< the first bytes of a frame: all headers and the probe
constexpr std::uint16_t kMagic = 0x5ca1;
constexpr std::uint8_t kEveryone = 0xff;  ///< the receiver of a broadcast
constexpr std::uint8_t kWarmUpRun = 0;    ///< run of frames that are not counted

/// Time stamps count 16 TSC cycles, modulo 2^40.
constexpr std::uint64_t kStampMask = (std::uint64_t{1} << 40) - 1;
constexpr unsigned kCyclesPerTickShift = 4;
constexpr std::uint64_t stamp_of(std::uint64_t tsc) { return (tsc >> kCyclesPerTickShift) & kStampMask; }
constexpr std::uint64_t ticks_since(std::uint64_t stamp, std::uint64_t tsc) {
  return (stamp_of(tsc) - stamp) & kStampMask;
}

/// A probe as frames carry it. Passed in registers: a word that is loaded right after its parts were stored would wait
/// for all stores before it, those to buffers that are still on the switch's core among them.
struct ProbeWords {
  std::uint64_t order;
  std::uint64_t stamp;
};

struct Probe {
  std::uint32_t flow = 0;
  std::uint32_t number = 0;  ///< of this sender, receiver and flow, from 0 in each run
  std::uint64_t stamp = 0;   ///< stamp_of the time of writing
  std::uint8_t sender = 0;
  std::uint8_t receiver = 0;  ///< or kEveryone
  std::uint8_t run = 0;       ///< tells a run's frames from those of earlier ones

  [[nodiscard]] constexpr ProbeWords words() const {
    return {std::uint64_t{number} << 32 | flow,
            stamp << 24 | std::uint64_t{run} << 16 | std::uint64_t{receiver} << 8 | sender};
  }
  static constexpr Probe of(const ProbeWords& words) {
    return {.flow = static_cast<std::uint32_t>(words.order),
            .number = static_cast<std::uint32_t>(words.order >> 32),
            .stamp = words.stamp >> 24,
            .sender = static_cast<std::uint8_t>(words.stamp),
            .receiver = static_cast<std::uint8_t>(words.stamp >> 8),
            .run = static_cast<std::uint8_t>(words.stamp >> 16)};
  }
  bool operator==(const Probe&) const = default;
};

/// CRC-32C of the probe and the length of its frame.
inline std::uint32_t probe_crc(ProbeWords probe, std::uint32_t frame_length) {
  std::uint64_t crc = _mm_crc32_u64(kMagic, frame_length);
  crc = _mm_crc32_u64(crc, probe.order);
  return static_cast<std::uint32_t>(_mm_crc32_u64(crc, probe.stamp));
}

template <typename T>
T load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void store(std::uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

/// Offsets into the head, by protocol.
struct ProbeLayout {
  std::size_t magic, order, stamp, crc_high, crc_low;

  static constexpr ProbeLayout of(Protocol protocol) {
    return protocol == Protocol::kUdp ? ProbeLayout{42, 44, 52, 60, 62} : ProbeLayout{54, 38, 56, 48, 52};
  }
};

}  // namespace sluice::vmgen
