#include "control/replay/capture_writer.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <pcap/pcap.h>

#include "ports/frame.hpp"

namespace sluice::control {
namespace {

constexpr CaptureTime kSecond = 1'000'000'000;

}  // namespace

void CaptureWriter::Closer::operator()(pcap* handle) const { pcap_close(handle); }
void CaptureWriter::Closer::operator()(pcap_dumper* dumper) const { pcap_dump_close(dumper); }

Expected<CaptureWriter> CaptureWriter::create(const std::string& path) {
  CaptureWriter writer;
  writer.path_ = path;
  writer.handle_.reset(
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, ports::kMaxFrameSize, PCAP_TSTAMP_PRECISION_NANO));
  if (writer.handle_ == nullptr) return tl::unexpected(Error{fmt::format("{}: no memory to write it", path)});
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr)
    return tl::unexpected(Error{fmt::format("{}: cannot be written: {}", path, std::strerror(errno))});
  writer.dumper_.reset(pcap_dump_fopen(writer.handle_.get(), file));
  if (writer.dumper_ == nullptr) {
    std::fclose(file);
    return tl::unexpected(Error{fmt::format("{}: cannot be written: {}", path, pcap_geterr(writer.handle_.get()))});
  }
  return writer;
}

void CaptureWriter::write(CaptureTime time, std::span<const std::uint8_t> bytes) {
  pcap_pkthdr header{};
  header.ts.tv_sec = time / kSecond;
  header.ts.tv_usec = time % kSecond;  // nanoseconds, as the file's magic number says
  header.caplen = header.len = static_cast<bpf_u_int32>(bytes.size());
  pcap_dump(reinterpret_cast<u_char*>(dumper_.get()), &header, bytes.data());
  ++frames_;
}

Expected<void> CaptureWriter::finish() {
  errno = 0;
  const bool flushed = pcap_dump_flush(dumper_.get()) == 0;
  if (flushed && std::ferror(pcap_dump_file(dumper_.get())) == 0) return {};
  return tl::unexpected(Error{
      fmt::format("{}: not all of it could be written: {}", path_, errno != 0 ? std::strerror(errno) : "write error")});
}

}  // namespace sluice::control
