// ChangeLog: a list of texts that grows at its end, in memory that outlives a worker. Control thread.
//
// There are two buffers, of which one counts. A text is there once the buffer's length says so, which is stored last.
// When most of the texts are of no interest any more, those that are are written into the other buffer, which then
// counts by one store. So a worker that is killed between any two stores leaves the list of before, or that of after.
//
// Whoever makes itself ready beside the worker that writes may read: what was written does not change until the buffers
// have changed places twice, which a reader finds out.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::control {

/// All zero when new.
struct ChangeLogMemory {
  static constexpr std::size_t kBytes = std::size_t{32} << 20U;
  struct Buffer {
    std::atomic<std::uint64_t> length;
    std::array<char, kBytes> bytes;  ///< each text behind its length, a uint32_t
  };
  std::atomic<std::uint64_t> version;  ///< buffers[version % 2] counts
  std::array<Buffer, 2> buffers;
};

class ChangeLog {
 public:
  explicit ChangeLog(ChangeLogMemory& memory) : memory_(&memory) {}

  /// Says when the list is another than it was.
  struct Mark {
    std::uint64_t version = 0;
    std::uint64_t length = 0;

    bool operator==(const Mark&) const = default;
  };
  [[nodiscard]] Mark mark() const;
  [[nodiscard]] std::vector<std::string> read() const;

  /// False if there is no room; nothing is changed then.
  [[nodiscard]] bool append(std::string_view text);
  /// Puts these in the place of all. False as above.
  [[nodiscard]] bool replace(const std::vector<std::string>& texts);

 private:
  [[nodiscard]] std::optional<std::vector<std::string>> try_to_read() const;

  ChangeLogMemory* memory_;
};

}  // namespace sluice::control
