#include "control/keeper/change_log.hpp"

#include <cstring>

namespace sluice::control {
namespace {

using Length = std::uint32_t;

/// Writes a text at `at`; where the next one goes, or nothing if there is no room for it.
std::optional<std::uint64_t> put(ChangeLogMemory::Buffer& buffer, std::uint64_t at, std::string_view text) {
  if (text.size() > ChangeLogMemory::kBytes || at + sizeof(Length) + text.size() > ChangeLogMemory::kBytes) return {};
  const auto length = static_cast<Length>(text.size());
  std::memcpy(buffer.bytes.data() + at, &length, sizeof length);
  text.copy(buffer.bytes.data() + at + sizeof length, text.size());
  return at + sizeof length + text.size();
}

}  // namespace

ChangeLog::Mark ChangeLog::mark() const {
  // acquire: before the texts that they count.
  const std::uint64_t version = memory_->version.load(std::memory_order_acquire);
  return {version, memory_->buffers[version % 2].length.load(std::memory_order_acquire)};
}

std::vector<std::string> ChangeLog::read() const {
  for (;;) {
    if (auto texts = try_to_read()) return *texts;
  }
}

/// Nothing if the buffer may have been written anew meanwhile.
std::optional<std::vector<std::string>> ChangeLog::try_to_read() const {
  const Mark now = mark();
  const auto& bytes = memory_->buffers[now.version % 2].bytes;
  if (now.length > bytes.size()) return {};
  std::vector<std::string> texts;
  for (std::uint64_t at = 0; at + sizeof(Length) <= now.length;) {
    Length length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    at += sizeof length;
    if (length > now.length - at) break;
    texts.emplace_back(bytes.data() + at, length);
    at += length;
  }
  // The version is looked at after the texts.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (memory_->version.load(std::memory_order_relaxed) != now.version) return {};
  return texts;
}

bool ChangeLog::append(std::string_view text) {
  const Mark now = mark();
  ChangeLogMemory::Buffer& buffer = memory_->buffers[now.version % 2];
  const auto end = put(buffer, now.length, text);
  if (!end) return false;
  // release: after the text.
  buffer.length.store(*end, std::memory_order_release);
  return true;
}

bool ChangeLog::replace(const std::vector<std::string>& texts) {
  const std::uint64_t version = mark().version;
  ChangeLogMemory::Buffer& buffer = memory_->buffers[(version + 1) % 2];
  std::uint64_t end = 0;
  for (const std::string& text : texts) {
    const auto next = put(buffer, end, text);
    if (!next) return false;
    end = *next;
  }
  buffer.length.store(end, std::memory_order_release);
  // release: after all of it.
  memory_->version.store(version + 1, std::memory_order_release);
  return true;
}

}  // namespace sluice::control
