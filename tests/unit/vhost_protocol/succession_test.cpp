// What a port that follows another makes good of what that one, killed at some instant, has left undone.
#include "bench.hpp"
#include "kept_estate.hpp"
#include "ports/vhost/device.hpp"

namespace sluice::test {
namespace {

namespace feature = ports::vhost::feature;
constexpr std::uint64_t kFeatures = feature::kProtocolFeatures | feature::kVersion1;

class Succession : public Bench {
 protected:
  std::unique_ptr<Port> prepare(KeptEstate& estate) {
    auto port = Port::prepare(options("s", ports::vhost::SocketMode::server), host_, estate);
    EXPECT_TRUE(port) << port.error();
    return std::move(*port);
  }

  GuestRam ram_{1U << 20U};
  const UniqueFd event_ = event();
};

TEST_F(Succession, a_used_index_is_in_the_dirty_log_if_the_one_before_died_between_its_store_and_its_mark) {
  KeptEstate estate;
  GuestRam log(4096);
  auto address = FrontEnd::ring_address(ram_, 1);
  address.flags = 1;
  address.log = 9 * 4096;
  const FrontEnd peer = [&] {
    const auto before = prepare(estate);
    before->activate();
    FrontEnd front = connect("s");
    front.negotiate(kFeatures, ports::vhost::Device::kProtocolFeatures);
    front.send_memory(ram_);
    front.start_ring(ram_, 1, 256, 0, event_.get(), event_.get());
    front.send(Request::set_log_base, ports::vhost::LogDescription{4096, 0}, {log.fd()});
    EXPECT_EQ(front.receive(), 0U);
    front.send_u64(Request::set_features, kFeatures | feature::kLogAll);
    front.send(Request::set_vring_addr, address);
    EXPECT_TRUE(front.settle());
    before->leave();  // as good as killed
    return front;
  }();
  reinterpret_cast<std::uint16_t*>(ram_.data() + (address.used - ram_.user()))[1] = 1;
  log.data()[1] = 0;
  const auto next = prepare(estate);
  next->activate();
  EXPECT_EQ(estate.state().progress[1].position.next_used, 1U);
  EXPECT_EQ(log.data()[1], 1U << 1U);
}

}  // namespace
}  // namespace sluice::test
