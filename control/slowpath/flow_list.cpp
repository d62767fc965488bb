#include "control/slowpath/flow_list.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::control {

using flowtable::FlowKey;
using flowtable::PortId;
using ports::UniqueFd;

namespace {

constexpr std::uint64_t kMagic = 0x7477'6f6c'662d'6c73;  // "sl-flowt"
constexpr std::uint32_t kVersion = 1;                    ///< of the layout, FlowKey's included
constexpr std::size_t kAtOnce = 4096;                    ///< flows
constexpr std::uint64_t kMostFlows = std::uint64_t{1} << 32U;
constexpr std::uint64_t kNsPerMs = 1'000'000;

bool write_at(int file, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t went = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (went < 0 && errno == EINTR) continue;
    if (went <= 0) return false;
    offset += static_cast<std::uint64_t>(went);
    bytes = bytes.subspan(static_cast<std::size_t>(went));
  }
  return true;
}

bool read_at(int file, std::uint64_t offset, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t came = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (came < 0 && errno == EINTR) continue;
    if (came <= 0) return false;
    offset += static_cast<std::uint64_t>(came);
    bytes = bytes.subspan(static_cast<std::size_t>(came));
  }
  return true;
}

}  // namespace

/// First in the file; then the flows, then the masks.
struct FlowListWriter::Head {
  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t masks = 0;
  std::uint64_t flows = 0;
};

Expected<FlowListWriter> FlowListWriter::create() {
  UniqueFd file(::memfd_create("sluice-flows", MFD_CLOEXEC));
  if (!file) return tl::unexpected(Error{fmt::format("a list of flows: memfd_create: {}", std::strerror(errno))});
  return FlowListWriter(std::move(file));
}

void FlowListWriter::add_flow(const ListedFlow& flow) {
  const std::uint64_t idle_ms = std::min<std::uint64_t>(flow.idle_ns / kNsPerMs, UINT32_MAX);
  flows_.push_back({flow.key, static_cast<std::uint32_t>(idle_ms), static_cast<std::uint32_t>(flow.pmd)});
  if (flows_.size() == kAtOnce) write_flows();
}

void FlowListWriter::add_mask(PortId port, flowtable::PacketClass packet_class, const flowtable::ClassMask& mask) {
  masks_.push_back({mask.mask, port, static_cast<std::uint16_t>(packet_class), mask.generation});
}

void FlowListWriter::write_flows() {
  failed_ |= !write_at(file_.get(), sizeof(Head) + written_ * sizeof(Flow), std::as_bytes(std::span(flows_)));
  written_ += flows_.size();
  flows_.clear();
}

UniqueFd FlowListWriter::finish() {
  write_flows();
  const Head head{.masks = static_cast<std::uint32_t>(masks_.size()), .flows = written_};
  failed_ |= !write_at(file_.get(), sizeof head + written_ * sizeof(Flow), std::as_bytes(std::span(masks_)));
  failed_ |= !write_at(file_.get(), 0, std::as_bytes(std::span(&head, 1)));
  return failed_ ? UniqueFd() : std::move(file_);
}

Expected<FlowListReader> FlowListReader::open(UniqueFd file) {
  using Mask = FlowListWriter::Mask;
  using Flow = FlowListWriter::Flow;
  FlowListWriter::Head head{};
  struct stat status {};
  if (!read_at(file.get(), 0, std::as_writable_bytes(std::span(&head, 1))) || head.magic != kMagic) {
    return tl::unexpected(Error{"this is no list of flows"});
  }
  if (head.version != kVersion) {
    return tl::unexpected(Error{
        fmt::format("the list of flows is of version {}, this program's are of version {}", head.version, kVersion)});
  }
  const auto bytes = [&] { return sizeof head + head.flows * sizeof(Flow) + head.masks * sizeof(Mask); };
  if (head.flows > kMostFlows || ::fstat(file.get(), &status) != 0 ||
      static_cast<std::uint64_t>(status.st_size) != bytes()) {
    return tl::unexpected(Error{
        fmt::format("a list of {} flows and {} masks is not {} bytes long", head.flows, head.masks, status.st_size)});
  }
  FlowListReader reader(std::move(file), head.flows);
  std::vector<Mask> masks(head.masks);
  if (!read_at(reader.file_.get(), sizeof head + head.flows * sizeof(Flow), std::as_writable_bytes(std::span(masks)))) {
    return tl::unexpected(Error{fmt::format("the list of flows cannot be read: {}", std::strerror(errno))});
  }
  for (const Mask& mask : masks) {
    reader.masks_[{mask.port, static_cast<std::uint8_t>(mask.packet_class)}] = {mask.mask, mask.generation};
  }
  return reader;
}

std::span<const FlowListReader::Flow> FlowListReader::next() {
  using Written = FlowListWriter::Flow;
  listed_.clear();
  while (listed_.empty() && read_ < flows_) {
    buffer_.resize(std::min<std::uint64_t>(kAtOnce, flows_ - read_));
    const std::uint64_t offset = sizeof(FlowListWriter::Head) + read_ * sizeof(Written);
    if (!read_at(file_.get(), offset, std::as_writable_bytes(std::span(buffer_)))) break;
    read_ += buffer_.size();
    for (const Written& flow : buffer_) {
      const auto mask = masks_.find({flow.key.in_port, flow.key.packet_class});
      if (mask == masks_.end() || mask->second.generation != flow.key.mask_generation) continue;
      listed_.push_back({{flow.pmd, flow.key, flow.idle_ms * kNsPerMs}, &mask->second.mask});
    }
  }
  return listed_;
}

}  // namespace sluice::control
