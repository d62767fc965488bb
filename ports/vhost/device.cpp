#include "ports/vhost/device.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "ports/vhost/eventfd.hpp"
#include "ports/vhost/feature_names.hpp"
#include "ports/vhost/hex.hpp"

namespace sluice::ports::vhost {
namespace {

constexpr std::uint64_t kMinMtu = 68;  // RFC 791

/// The payload as a T; its size was checked.
template <typename T>
T read(const Message& message) {
  T value;
  std::memcpy(&value, message.payload.data(), sizeof value);
  return value;
}

std::string count_text(std::uint64_t min, std::uint64_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

Reply make_reply(const MessageHeader& request, std::uint64_t payload) {
  Reply reply;
  reply.header = {request.request, kVersion | kReplyFlag, sizeof payload};
  std::memcpy(reply.payload.data(), &payload, sizeof payload);
  return reply;
}

}  // namespace

// What is left out: GSO alone (lets a driver send kinds of segmentation that we do not do), UFO and ECN,
// IOMMU_PLATFORM, NOTIFY_ON_EMPTY (obsolete). CTRL_VQ and what hangs on it are the front end's own to serve.
const std::uint64_t Device::kFeatures =
    feature::kCsum | feature::kGuestCsum | feature::kMtu | feature::kGuestTso4 | feature::kGuestTso6 |
    feature::kHostTso4 | feature::kHostTso6 | feature::kMrgRxbuf | feature::kStatus | feature::kCtrlVq |
    feature::kCtrlRx | feature::kGuestAnnounce | feature::kMq | feature::kLogAll | feature::kAnyLayout |
    feature::kIndirectDesc | feature::kEventIdx | feature::kProtocolFeatures | feature::kVersion1 |
    feature::kRingPacked | feature::kInOrder;

const std::uint64_t Device::kProtocolFeatures =
    protocol_feature::kMq | protocol_feature::kLogShmfd | protocol_feature::kRarp | protocol_feature::kReplyAck |
    protocol_feature::kNetMtu | protocol_feature::kConfigureMemSlots | protocol_feature::kStatus;

std::string check_header(const MessageHeader& header) {
  const MessageShape* const shape = shape_of(header.request);
  if (shape == nullptr) {
    for (const NotOffered& other : kNotOffered) {
      if (other.request == header.request) {
        return std::string(other.name) + " belongs to a feature that was not offered to the front end";
      }
    }
    return "message " + std::to_string(header.request) + " is unknown; this is not a vhost-user front end, or one of" +
           " a later protocol";
  }
  const std::string name(shape->name);
  if ((header.flags & kVersionMask) != kVersion) {
    return name + ": protocol version " + std::to_string(header.flags & kVersionMask) + ", must be 1";
  }
  if ((header.flags & kReplyFlag) != 0) return name + ": has the reply flag, but nothing was asked";
  if (header.size < shape->min_size || header.size > shape->max_size) {
    return name + ": payload of " + std::to_string(header.size) + " bytes, must be " +
           count_text(shape->min_size, shape->max_size);
  }
  return {};
}

Device::Device(const Options& options, Events events, Estate& estate)
    : options_(options),
      events_(std::move(events)),
      estate_(estate),
      state_(estate.state()),
      slots_(estate),
      rings_(estate, 2 * options.queue_pairs, options.alarm_eventfd, events_.wait_for_pmds) {}

Outcome Device::handle(Message message) {
  if (std::string wrong = check_header(message.header); !wrong.empty()) return {std::nullopt, wrong};
  const MessageShape& shape = *shape_of(message.header.request);
  const bool acknowledged = !shape.replies && (message.header.flags & kNeedReplyFlag) != 0 &&
                            (state_.protocol_features & protocol_feature::kReplyAck) != 0;
  const auto fail = [&](const std::string& what) -> Outcome {
    const auto reply = acknowledged ? std::optional(make_reply(message.header, 1)) : std::nullopt;
    return {reply, std::string(shape.name) + ": " + what};
  };
  if (message.fds.size() < shape.min_fds || message.fds.size() > shape.max_fds) {
    return fail(std::to_string(message.fds.size()) + " file descriptors, must be " +
                count_text(shape.min_fds, shape.max_fds));
  }
  if ((shape.needs & ~state_.protocol_features) != 0) {
    return fail("its protocol feature, bit " + std::to_string(std::countr_zero(shape.needs)) + ", was not negotiated");
  }
  const Result result = dispatch(shape, message);
  if (queues_have_changed()) {
    if (numa_node_ < 0) find_node();
    tell_queues_changed();
  }
  if (!result) return fail(result.error());
  if (result->has_value() && (shape.replies || acknowledged)) return {make_reply(message.header, **result), {}};
  if (acknowledged) return {make_reply(message.header, 0), {}};
  return {};
}

Device::Result Device::dispatch(const MessageShape& shape, Message& message) {
  const auto done = [](Done result) -> Result {
    if (!result) return tl::unexpected(std::move(result.error()));
    return Answer{};
  };
  switch (shape.request) {
    case Request::get_features: return Answer{kFeatures};
    case Request::set_features: return done(set_features(read<std::uint64_t>(message)));
    case Request::set_owner: return Answer{};
    // Deprecated; the document recommends to disable all rings and no more.
    case Request::reset_owner: return done(rings_.disable_all());
    case Request::set_mem_table: return done(set_mem_table(message));
    case Request::set_log_base:
      if (Done set = set_log_base(message); !set) return tl::unexpected(set.error());
      return Answer{0};
    case Request::set_log_fd: return done(set_log_fd(message));
    case Request::set_vring_num: return done(set_vring_num(read<VringState>(message)));
    case Request::set_vring_addr: return done(rings_.set_addr(read<VringAddress>(message)));
    case Request::set_vring_base: return done(rings_.set_base(read<VringState>(message)));
    case Request::get_vring_base: return get_vring_base(read<VringState>(message));
    case Request::set_vring_kick:
    case Request::set_vring_call:
    case Request::set_vring_err: return done(set_vring_fd(shape.request, message));
    case Request::get_protocol_features: return Answer{kProtocolFeatures};
    case Request::set_protocol_features: return done(set_protocol_features(read<std::uint64_t>(message)));
    case Request::get_queue_num: return Answer{options_.queue_pairs};
    // Not tied to PROTOCOL_FEATURES having been acknowledged: QEMU sends it before SET_FEATURES.
    case Request::set_vring_enable: return done(rings_.set_enable(read<VringState>(message)));
    case Request::send_rarp: return done(send_rarp(read<std::uint64_t>(message)));
    case Request::net_set_mtu: return net_set_mtu(read<std::uint64_t>(message));
    case Request::get_max_mem_slots: return Answer{GuestMemory::kMaxRegions};
    case Request::add_mem_reg: return done(add_mem_reg(message));
    case Request::rem_mem_reg: return done(rem_mem_reg(message));
    case Request::set_status: return done(set_status(read<std::uint64_t>(message)));
    case Request::get_status: return Answer{state_.status};
  }
  return tl::unexpected<std::string>("unknown message");
}

void Device::reset() {
  if (state_.log != 0) estate_.forget(Heirloom::dirty_log, state_.log - 1);
  rings_.reset();
  slots_.clear();
  clear_connection(state_);
  numa_node_ = -1;
  if (queues_have_changed()) tell_queues_changed();
}

// ---- taking up what a process before us has left ----

Device::Done Device::suits() const {
  if (const std::uint64_t extra = state_.features & ~kFeatures; extra != 0) {
    return tl::unexpected("features " + feature_names(extra) + " (" + hex(extra) + ") are not offered any more");
  }
  if (const std::uint64_t extra = state_.protocol_features & ~kProtocolFeatures; extra != 0) {
    return tl::unexpected("protocol features " + hex(extra) + " are not offered any more");
  }
  return rings_.suits();
}

Device::Done Device::prepare() {
  if (Done suiting = suits(); !suiting) return suiting;
  auto memory = slots_.resume();
  if (!memory) return tl::unexpected(memory.error());
  memory->notify_when_lost(options_.alarm_eventfd);
  numa_node_ = static_cast<int>(state_.node) - 1;
  auto log = resume_log();
  if (!log) return tl::unexpected(log.error());
  return rings_.prepare(std::make_shared<const GuestMemory>(std::move(*memory)), std::move(*log));
}

void Device::let_go_of_prepared() {
  rings_.let_go_of_prepared();
  slots_.let_go();
  numa_node_ = -1;
}

tl::expected<Rings::Log, std::string> Device::resume_log() {
  if (state_.log == 0) return Rings::Log();
  const unsigned slot = (state_.log - 1) % kLogSlots;
  UniqueFd fd = estate_.take(Heirloom::dirty_log, slot);
  if (!fd) return tl::unexpected<std::string>("the descriptor of the dirty log was not kept");
  auto log = DirtyLog::map(fd.release(), state_.logs[slot].offset, state_.logs[slot].size);
  if (log) (*log)->notify_when_lost(options_.alarm_eventfd);
  return log;
}

/// What a predecessor kept for a change of logs that it did not live to make, or had made.
void Device::forget_stray_logs() {
  for (unsigned slot = 0; slot < kLogSlots; ++slot) {
    if (state_.log != slot + 1 && estate_.take(Heirloom::dirty_log, slot)) estate_.forget(Heirloom::dirty_log, slot);
  }
}

Device::Done Device::take_over() {
  slots_.forget_strays();
  forget_stray_logs();
  if (Done published = rings_.publish_prepared(); !published) return published;
  state_.node = static_cast<std::uint32_t>(numa_node_ + 1);
  if (queues_have_changed()) tell_queues_changed();
  return {};
}

// ---- features ----

Device::Done Device::set_features(std::uint64_t features) {
  if (const std::uint64_t extra = features & ~kFeatures; extra != 0) {
    return tl::unexpected("features " + feature_names(extra) + " (" + hex(extra) + ") were not offered");
  }
  // QEMU sends the features once for each queue pair, and switches the dirty log on and off on running rings.
  if (rings_.any_started() && ((features ^ state_.features) & ~feature::kLogAll) != 0) {
    return tl::unexpected("features " + hex(features) + " differ from " + hex(state_.features) +
                          " in more than LOG_ALL while rings run; GET_VRING_BASE has to stop them first");
  }
  if (features == state_.features) return {};
  return rings_.move_to(rings_.memory(), rings_.log(), features, Rings::Uncovered::refuse);
}

Device::Done Device::set_protocol_features(std::uint64_t features) {
  if (const std::uint64_t extra = features & ~kProtocolFeatures; extra != 0) {
    return tl::unexpected("protocol features " + hex(extra) + " were not offered");
  }
  commit(state_.protocol_features, features);
  return {};
}

// ---- memory ----

Device::Done Device::set_mem_table(Message& message) {
  const auto header = read<MemoryTableHeader>(message);
  if (header.regions > kMaxTableRegions) {
    return tl::unexpected(std::to_string(header.regions) + " regions, must be at most " +
                          std::to_string(kMaxTableRegions) + " (ADD_MEM_REG for more)");
  }
  if (message.fds.size() != header.regions) {
    return tl::unexpected(std::to_string(message.fds.size()) + " file descriptors for " +
                          std::to_string(header.regions) + " regions, must be one each");
  }
  if (const std::size_t size = sizeof header + header.regions * sizeof(MemoryRegion); message.payload.size() != size) {
    return tl::unexpected("payload of " + std::to_string(message.payload.size()) + " bytes for " +
                          std::to_string(header.regions) + " regions, must be " + std::to_string(size));
  }
  GuestMemory memory;
  for (std::size_t i = 0; i < header.regions; ++i) {
    MemoryRegion region;
    std::memcpy(&region, message.payload.data() + sizeof header + i * sizeof region, sizeof region);
    auto grown = memory.with(region, message.fds[i].release(), rings_.memory().get());
    if (!grown) return tl::unexpected(grown.error());
    memory = std::move(*grown);
  }
  return use_memory(std::move(memory), Rings::Uncovered::refuse);
}

Device::Done Device::add_mem_reg(Message& message) {
  const MemoryRegion region = read<SingleRegion>(message).region;
  const GuestMemory none;
  const GuestMemory& now = rings_.memory() != nullptr ? *rings_.memory() : none;
  // QEMU before 9.1 sends every region once for each queue pair.
  if (now.holds(region, message.fds[0].get())) return {};
  auto grown = now.with(region, message.fds[0].release());
  if (!grown) return tl::unexpected(grown.error());
  return use_memory(std::move(*grown), Rings::Uncovered::wait);
}

Device::Done Device::rem_mem_reg(Message& message) {
  const MemoryRegion region = read<SingleRegion>(message).region;
  // Nothing to remove: asked once for each queue pair, as above.
  if (rings_.memory() == nullptr) return {};
  auto rest = rings_.memory()->without(region);
  if (!rest) return {};
  // A region may go and come back larger while rings in it run: until then PMDs do not see them.
  return use_memory(std::move(*rest), Rings::Uncovered::wait);
}

Device::Done Device::use_memory(GuestMemory memory, Rings::Uncovered uncovered) {
  memory.notify_when_lost(options_.alarm_eventfd);
  auto shared = std::make_shared<const GuestMemory>(std::move(memory));
  ask_node(*shared);
  slots_.prepare(*shared);
  if (Done moved = rings_.move_to(shared, rings_.log(), state_.features, uncovered); !moved) {
    slots_.cancel();
    return moved;
  }
  slots_.commit();
  return {};
}

Device::Done Device::set_log_base(Message& message) {
  const auto description = read<LogDescription>(message);
  auto log = DirtyLog::map(message.fds[0].release(), description.offset, description.size);
  if (!log) return tl::unexpected(log.error());
  (*log)->notify_when_lost(options_.alarm_eventfd);
  if (Done moved = rings_.move_to(rings_.memory(), *log, state_.features, Rings::Uncovered::refuse); !moved) {
    return moved;
  }
  // A successor writes to rings before it handles this message again, and finds the log of before or this one: the
  // front end looks at both.
  const unsigned before = state_.log;
  const unsigned slot = before == 1 ? 1 : 0;
  state_.logs[slot] = description;
  estate_.keep(Heirloom::dirty_log, slot, (*log)->fd());
  commit(state_.log, slot + 1);
  if (before != 0) estate_.forget(Heirloom::dirty_log, before - 1);
  return {};
}

Device::Done Device::set_log_fd(Message& message) {
  if (message.payload.size() != 0 && message.payload.size() != sizeof(std::uint64_t)) {
    return tl::unexpected("payload of " + std::to_string(message.payload.size()) + " bytes, must be 0 or 8");
  }
  // A front end reads the log when it wants to; that it may be told of every change is optional, and is not done.
  return take_eventfd(message.fds[0].get());
}

bool Device::memory_lost() const {
  return (rings_.memory() != nullptr && rings_.memory()->lost()) || (rings_.log() != nullptr && rings_.log()->lost());
}

// ---- rings ----

Device::Done Device::set_vring_num(const VringState& message) {
  if (message.num > options_.queue_size) {
    return tl::unexpected("ring " + std::to_string(message.index) + ": the port's queue_size allows rings of up to " +
                          std::to_string(options_.queue_size) + " entries, not " + std::to_string(message.num));
  }
  return rings_.set_num(message);
}

Device::Result Device::get_vring_base(const VringState& message) {
  const auto base = rings_.get_base(message);
  if (!base) return tl::unexpected(base.error());
  const VringState reply{message.index, *base};
  return Answer{std::bit_cast<std::uint64_t>(reply)};
}

Device::Done Device::set_vring_fd(Request request, Message& message) {
  const auto value = read<std::uint64_t>(message);
  const auto index = static_cast<std::uint32_t>(value & kVringIndexMask);
  if ((value & ~(kVringIndexMask | kVringNoFdFlag)) != 0) {
    return tl::unexpected("value " + hex(value) + ", must be a ring's index (bits 0 to 7) and the no-fd flag (bit 8)");
  }
  const bool has_fd = (value & kVringNoFdFlag) == 0;
  if (message.fds.size() != (has_fd ? 1U : 0U)) {
    return tl::unexpected("ring " + std::to_string(index) + ": " + std::to_string(message.fds.size()) +
                          " file descriptors, must be " + (has_fd ? "1" : "0, as the no-fd flag says"));
  }
  UniqueFd fd = has_fd ? std::move(message.fds[0]) : UniqueFd();
  if (has_fd) {
    if (Done taken = take_eventfd(fd.get()); !taken) {
      return tl::unexpected("ring " + std::to_string(index) + ": " + taken.error());
    }
  }
  if (request == Request::set_vring_kick) return rings_.set_kick(index, std::move(fd));
  if (request == Request::set_vring_call) return rings_.set_call(index, std::move(fd));
  return rings_.set_err(index, std::move(fd));
}

// ---- the rest ----

Device::Answer Device::net_set_mtu(std::uint64_t mtu) {
  if (mtu < kMinMtu || mtu > options_.mtu) {
    events_.log(Severity::warning, "NET_SET_MTU: MTU " + std::to_string(mtu) + " is refused, must be " +
                                       count_text(kMinMtu, options_.mtu));
    return 1;
  }
  state_.mtu = static_cast<std::uint32_t>(mtu);
  return 0;
}

Device::Done Device::send_rarp(std::uint64_t payload) const {
  std::uint8_t mac[6];
  std::memcpy(mac, &payload, sizeof mac);
  if ((mac[0] & 1U) != 0) return tl::unexpected<std::string>("the address is a group's, must be one station's");
  if (events_.announced) events_.announced(mac);
  return {};
}

Device::Done Device::set_status(std::uint64_t status) {
  if (status > 0xff) return tl::unexpected("status " + hex(status) + ", must be 8 bits");
  // Kept to be read back. A status of 0 stops nothing: QEMU 7.2 sends it before it asks the rings for their positions.
  state_.status = static_cast<std::uint32_t>(status);
  return {};
}

// Ring 2n is receiveq of pair n, ring 2n + 1 its transmitq (virtio 1.2, section 5.1.2); both as the guest sees it.
std::vector<VhostQueue*> Device::rx_queues() {
  std::vector<VhostQueue*> queues;
  for (unsigned i = 1; i < rings_.count(); i += 2) {
    if (rings_.ring(i).started != 0) queues.push_back(&rings_.queue(i));
  }
  return queues;
}

std::vector<VhostQueue*> Device::tx_queues() {
  std::vector<VhostQueue*> queues;
  for (unsigned i = 0; i < rings_.count(); i += 2) {
    if (rings_.ring(i).started != 0 && rings_.ring(i).enabled != 0) queues.push_back(&rings_.queue(i));
  }
  return queues;
}

/// Whether they have since this was asked last.
bool Device::queues_have_changed() {
  auto rx = rx_queues();
  auto tx = tx_queues();
  if (rx == told_rx_ && tx == told_tx_) return false;
  told_rx_ = std::move(rx);
  told_tx_ = std::move(tx);
  return true;
}

void Device::tell_queues_changed() const {
  if (events_.queues_changed) events_.queues_changed();
}

}  // namespace sluice::ports::vhost
