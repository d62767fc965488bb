// Ports that are ethdevs, with DPDK in ordinary memory and devices that need none.
// For RTE_DEV_FOREACH, which asks a bus what is on it.
#define ALLOW_EXPERIMENTAL_API
#include <gtest/gtest.h>

#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include <pcap/pcap.h>
#include <rte_dev.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>

#include "ports/queue.hpp"
#include "tests/unit/ethdev/in_mbuf.hpp"
#include "tests/unit/execute/world.hpp"

namespace sluice {
namespace {

ports::Notifier notifier;  // has nothing to do for ethdevs

using ports::Frame;
using ports::ethdev::EthdevOptions;
using ports::ethdev::EthdevPort;
using ports::ethdev::Pacer;
using test::Bytes;
using test::counting;
using test::GuestFrame;
using test::InMbuf;
using test::pieces;
using test::port_pools;
using test::shared_pool;

TEST(EthdevPort, errors_name_the_port_the_device_and_the_reason) {
  test::start_dpdk();
  const auto error = [](const EthdevOptions& options) {
    const auto port = EthdevPort::create(options);
    return port ? std::string("no error") : port.error();
  };
  ports::PortPools* const pools = port_pools();
  EXPECT_EQ(error({.name = "x", .devargs = "net_nonsense0", .pools = pools}).find("port 'x': device 'net_nonsense0': "),
            0U);
  EXPECT_EQ(error({.name = "x", .devargs = "net_pcap7,rx_pcap=/nowhere/a.pcap", .pools = pools}),
            "port 'x': device 'net_pcap7,rx_pcap=/nowhere/a.pcap': cannot be attached: Couldn't open /nowhere/a.pcap: "
            "/nowhere/a.pcap: No such file or directory");
  EXPECT_EQ(error({.name = "x", .devargs = "net_af_packet7,iface=nowhere", .pools = pools}),
            "port 'x': device 'net_af_packet7,iface=nowhere': cannot be attached: net_af_packet7: ioctl failed "
            "(SIOCGIFINDEX):No such device");
  EXPECT_NE(error({.name = "x", .devargs = "net_ring_e", .queues = 40, .pools = pools})
                .find("queues: 40 are asked for, the device has 16"),
            std::string::npos);
  auto first = EthdevPort::create({.name = "x", .devargs = "net_null_e", .pools = pools});
  ASSERT_TRUE(first) << first.error();
  EXPECT_NE(error({.name = "y", .devargs = "net_null_e", .pools = pools}).find("is in use by another port"),
            std::string::npos);
}

TEST(EthdevPort, a_removed_device_can_be_attached_again) {
  for (int i = 0; i < 3; ++i) {
    auto port = EthdevPort::create({.name = "x", .devargs = "net_null_again", .queues = 1, .pools = port_pools()});
    ASSERT_TRUE(port) << port.error();
    EXPECT_EQ((*port)->rx_queues().size(), 1U);
    EXPECT_EQ((*port)->status().state, "up");
  }
}

bool is_attached(const std::string& name) {
  rte_dev_iterator iterator;
  rte_device* device = nullptr;
  bool found = false;
  RTE_DEV_FOREACH(device, "bus=vdev", &iterator) { found |= rte_dev_name(device) == name; }
  return found;
}

TEST(EthdevPort, a_device_that_is_none_of_ethernet_does_not_stay) {
  test::start_dpdk();
  for (int i = 0; i < 2; ++i) {
    const auto port = EthdevPort::create({.name = "x", .devargs = "baseband_null0", .pools = port_pools()});
    ASSERT_FALSE(port);
    EXPECT_EQ(port.error(), "port 'x': device 'baseband_null0': is no Ethernet device");
    EXPECT_FALSE(is_attached("baseband_null0"));
  }
}

TEST(EthdevPort, has_buffers_of_its_own_and_leaves_those_of_others_alone) {
  ports::PortPools pools(1);
  const auto others = rte_mempool_avail_count(shared_pool());
  {
    auto port = EthdevPort::create({.name = "x", .devargs = "net_null_own", .queue_size = 512, .pools = &pools});
    ASSERT_TRUE(port) << port.error();
    EXPECT_GE(pools.usage().mbufs, 2U * 512);
    auto burst = std::make_unique<ports::Burst>();
    ports::PortCounters counters;
    auto rx = (*port)->rx_queues().front();
    rx.receive(*burst, counters);
    EXPECT_EQ(burst->count, ports::kBurstSize);
    EXPECT_EQ(rte_mempool_avail_count(shared_pool()), others);
    rx.release(*burst, notifier);
  }
  EXPECT_EQ(pools.usage().free, pools.usage().mbufs);
}

TEST(EthdevPort, that_cannot_have_its_buffers_says_what_would_be_right) {
  test::start_dpdk();
  ports::PortPools pools(1'000'000);
  const auto port = EthdevPort::create({.name = "x", .devargs = "net_null_big", .pools = &pools});
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().find("port 'x': device 'net_null_big': its buffers cannot be had: "), 0U) << port.error();
  EXPECT_NE(port.error().find(" MiB more (memory.amount)"), std::string::npos) << port.error();
}

TEST(PortPools, a_pool_stays_until_its_last_mbuf_is_back) {
  test::start_dpdk();
  ports::PortPools pools(1);
  auto made = pools.make("x", 100, -1);
  ASSERT_TRUE(made) << made.error();
  rte_mbuf* const waiting = rte_pktmbuf_alloc(*made);
  int waits = 0;
  const auto wait = [&] { ++waits; };
  pools.collect(wait);
  EXPECT_TRUE(pools.retired().empty()) << "its port is there";
  pools.retire(*made);
  pools.collect(wait);
  pools.collect(wait);
  ASSERT_EQ(pools.retired().size(), 1U);
  EXPECT_EQ(pools.retired()[0].port, "x");
  EXPECT_EQ(pools.retired()[0].missing, 1U);
  EXPECT_EQ(pools.retired()[0].looks, 2U);
  EXPECT_EQ(waits, 0);
  rte_pktmbuf_free(waiting);
  pools.collect(wait);
  EXPECT_EQ(waits, 1) << "a PMD may still be giving it back";
  EXPECT_TRUE(pools.retired().empty());
  EXPECT_EQ(pools.usage().mbufs, 0U);
}

TEST(EthdevQueue, the_last_buffers_of_another_port_are_copied_and_not_kept) {
  test::World world(1);
  auto small = ports::make_mbuf_pool("small_q", 16, -1);
  ASSERT_TRUE(small) << small.error();
  std::vector<rte_mbuf*> held;
  const auto sent_as_it_was = [&] {
    rte_mbuf* const mbuf = ports::to_mbuf(GuestFrame(counting(100)).frame(), small->get());
    InMbuf in(mbuf);
    in.frame.outputs = 1;
    const std::array<Frame*, 1> frames{&in.frame};
    world.view.tx[0].queues[0].transmit(frames, world.in(), notifier);
    return in.frame.mbuf == nullptr;
  };
  EXPECT_TRUE(sent_as_it_was());
  for (int i = 0; i < 15; ++i) held.push_back(rte_pktmbuf_alloc(small->get()));
  std::erase(held, nullptr);
  rte_pktmbuf_free(held.back());
  held.pop_back();
  EXPECT_FALSE(sent_as_it_was());
  EXPECT_EQ(world.received(0), (std::vector<Bytes>{counting(100), counting(100)}));
  rte_pktmbuf_free_bulk(held.data(), static_cast<unsigned>(held.size()));
  EXPECT_EQ(rte_mempool_avail_count(small->get()), 16U);
}

TEST(EthdevQueue, a_device_that_sends_no_chains_is_given_none) {
  test::World world(1);
  auto& queue = world.queue(0);
  queue.chains = false;
  InMbuf in(pieces(counting(500), 200, ports::kHeadroom));
  ASSERT_NE(in.frame.rest_count, 0);
  in.frame.outputs = 1;
  const std::array<Frame*, 1> frames{&in.frame};
  ports::ethdev::transmit(queue, frames, world.in());
  EXPECT_NE(in.frame.mbuf, nullptr) << "copied";
  EXPECT_EQ(world.received(0), (std::vector<Bytes>{counting(500)}));
}

TEST(EthdevQueue, an_mbuf_is_taken_by_the_last_transmit_and_not_before) {
  test::World world(1);
  InMbuf in(ports::to_mbuf(GuestFrame(counting(100)).frame(), shared_pool()));
  in.frame.outputs = 2;
  const std::array<Frame*, 1> frames{&in.frame};
  world.view.tx[0].queues[0].transmit(frames, world.in(), notifier);
  EXPECT_NE(in.frame.mbuf, nullptr);
  world.view.tx[0].queues[0].transmit(frames, world.in(), notifier);
  EXPECT_EQ(in.frame.mbuf, nullptr);
  EXPECT_EQ(world.received(0), (std::vector<Bytes>{counting(100), counting(100)}));
}

/// A capture of frames of 60 + i bytes, a hundred milliseconds apart.
std::string capture(const std::string& name, unsigned frames) {
  const std::string path =
      (std::filesystem::temp_directory_path() / (name + std::to_string(getpid()) + ".pcap")).string();
  pcap_t* pcap = pcap_open_dead(DLT_EN10MB, 65535);
  pcap_dumper_t* dump = pcap_dump_open(pcap, path.c_str());
  for (unsigned i = 0; i < frames; ++i) {
    const Bytes bytes = counting(60 + i);
    pcap_pkthdr header{};
    header.ts = {.tv_sec = 1000 + i / 10, .tv_usec = i % 10 * 100000};
    header.caplen = header.len = 60 + i;
    pcap_dump(reinterpret_cast<u_char*>(dump), &header, bytes.data());
  }
  pcap_dump_close(dump);
  pcap_close(pcap);
  return path;
}

TEST(EthdevPort, a_capture_is_received_whole_and_what_is_sent_is_written) {
  const std::string in = capture("in", 50);
  const std::string out = in + ".out";
  {
    auto port = EthdevPort::create(
        {.name = "c", .devargs = "net_pcap_c,rx_pcap=" + in + ",tx_pcap=" + out, .pools = port_pools()});
    ASSERT_TRUE(port) << port.error();
    auto rx = (*port)->rx_queues().front();
    auto tx = (*port)->tx_queues().front();
    ports::PortCounters counters;
    auto burst = std::make_unique<ports::Burst>();
    unsigned received = 0;
    for (rx.receive(*burst, counters); burst->count != 0; rx.receive(*burst, counters)) {
      std::vector<Frame*> frames;
      for (Frame& frame : burst->view()) {
        EXPECT_EQ(test::bytes_of(frame), counting(60 + received++));
        frame.outputs = 1;
        frames.push_back(&frame);
      }
      tx.transmit(frames, counters, notifier);
      for (const Frame* frame : frames) EXPECT_EQ(frame->mbuf, nullptr);
      rx.release(*burst, notifier);
    }
    EXPECT_EQ(received, 50U);
    EXPECT_EQ(counters.rx_packets.get(), 50U);
    EXPECT_EQ(counters.tx_packets.get(), 50U);
    EXPECT_EQ(counters.tx_bytes.get(), counters.rx_bytes.get());
  }
  char error[PCAP_ERRBUF_SIZE];
  pcap_t* pcap = pcap_open_offline(out.c_str(), error);
  ASSERT_NE(pcap, nullptr) << error;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  for (unsigned i = 0; i < 50; ++i) {
    ASSERT_EQ(pcap_next_ex(pcap, &header, &data), 1);
    EXPECT_EQ(Bytes(data, data + header->caplen), counting(60 + i));
  }
  pcap_close(pcap);
  std::filesystem::remove(in);
  std::filesystem::remove(out);
}

TEST(Pacer, recorded_frames_are_due_as_far_apart_as_they_were_captured) {
  const std::string in = capture("paced", 3);
  auto port = EthdevPort::create({.name = "c", .devargs = "net_pcap_p,rx_pcap=" + in, .pools = port_pools()});
  ASSERT_TRUE(port) << port.error();
  Pacer::Clock clock{.tsc_hz = 1e6};
  ASSERT_EQ(rte_mbuf_dyn_rx_timestamp_register(&clock.stamp_offset, &clock.stamp_flag), 0);
  Pacer pacer(clock, 0);
  ports::PortCounters counters;
  auto burst = std::make_unique<ports::Burst>();
  auto rx = (*port)->rx_queues().front();
  rx.receive(*burst, counters);
  ASSERT_EQ(burst->count, 3U);
  EXPECT_EQ(pacer.due(*burst->frames[0].mbuf, 5000), 5000U);
  EXPECT_EQ(pacer.due(*burst->frames[1].mbuf, 5000), 105000U);
  EXPECT_EQ(pacer.due(*burst->frames[2].mbuf, 5000), 205000U);
  // The capture from its beginning again.
  EXPECT_EQ(pacer.due(*burst->frames[0].mbuf, 900000), 900000U);
  EXPECT_EQ(pacer.due(*burst->frames[1].mbuf, 900000), 1000000U);
  rx.release(*burst, notifier);
  std::filesystem::remove(in);
}

TEST(Pacer, no_more_frames_come_than_the_rate_allows) {
  auto port = EthdevPort::create({.name = "n",
                                  .devargs = "net_null_paced",
                                  .pools = port_pools(),
                                  .pace = EthdevOptions::Pace::rate,
                                  .rate = 1000});
  ASSERT_TRUE(port) << port.error();
  auto rx = (*port)->rx_queues().front();
  ports::PortCounters counters;
  auto burst = std::make_unique<ports::Burst>();
  const auto start = std::chrono::steady_clock::now();
  while (counters.rx_packets.get() < 30) {
    rx.receive(*burst, counters);
    rx.release(*burst, notifier);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(28));
}

TEST(Eal, starts_once_and_leaves_the_thread_where_it_was) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  test::start_dpdk();
  cpu_set_t after;
  sched_getaffinity(0, sizeof after, &after);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  const auto again = ports::Eal::start({});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), "DPDK: was started before in this process, and can be only once");
  EXPECT_TRUE(ports::EalThread::enter());
}

}  // namespace
}  // namespace sluice
