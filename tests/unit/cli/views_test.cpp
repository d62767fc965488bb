// How reports look to people.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "control/cli/quantity_text.hpp"
#include "control/cli/table.hpp"
#include "control/cli/views.hpp"
#include "control/rpc/switch_methods.hpp"
#include "tests/unit/rpc/sample_operations.hpp"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;

std::string shown(std::string_view name, bool colour = false) {
  Json result;
  for (const RpcMethod& method : switch_methods(sample_operations(std::make_shared<std::vector<std::string>>()))) {
    if (method.name == name)
      method.call(Json::object(), [&](const Expected<Json>& answer) { result = answer.value(); });
  }
  for (const View& view : views()) {
    if (view.name == name) return render(view, result, Style(colour)).value();
  }
  return "no such view";
}

TEST(ViewsTest, flows_read_as_an_ovs_operator_knows_them) {
  EXPECT_EQ(shown("flows"),
            "in_port=vm1,tcp,tp_dst=22, packets:123, bytes:9876, used:0.500s, actions:output:vm2\n"
            "in_port=vm2,arp, packets:0, bytes:0, used:never, actions:drop (rule)\n"
            "2 of 3 flows; --limit N shows more\n");
}

TEST(ViewsTest, pmds_show_core_queues_and_cycles) {
  EXPECT_EQ(shown("pmds"),
            "core 1  NUMA node 0  busy 25.0%  packets 2,000 (20.0 a batch)  125 busy cycles a packet\n"
            "  flows 4 of 1,000,000  hits 1,990  misses 10  queued 0  upcalls 0\n"
            "  PORT  QUEUE  CYCLES  PACKETS  BATCHES  A BATCH\n"
            "  vm1       0   20.0%    1,500       50     30.0\n"
            "  vm2       0    5.0%      500       50     10.0\n");
}

TEST(ViewsTest, drops_show_port_reason_packets_and_what_it_means) {
  EXPECT_EQ(shown("drops"),
            "PORT  REASON  PACKETS  EXPLANATION\n"
            "vm1   rule      1,003  a rule says drop\n");
}

TEST(ViewsTest, ports_show_link_vlan_counters_and_details) {
  EXPECT_EQ(shown("ports"),
            "PORT    TYPE        LINK  STATE      VLAN                         MTU  RX PACKETS  RX BYTES  RX DROPS  "
            "TX PACKETS  TX BYTES  TX DROPS  DETAILS\n"
            "vm1     vhost-user  up    connected  access 10                   1500   1,234,567  94.2 MiB         3  "
            "        12     768 B         0  features=mergeable ?[2J path=/run/vm1.sock\n"
            "uplink  pci         down  no link    trunk 0,10,20-22 native 10  1500           0       0 B         0  "
            "         0       0 B         0\n");
}

TEST(ViewsTest, status_is_a_list_of_facts) {
  const std::string text = shown("status");
  EXPECT_THAT(text, HasSubstr("version      0.1.0, DPDK 22.11.11, avx512 vaes\n"));
  EXPECT_THAT(text, HasSubstr("up           1h02m, 0 restarts\n"));
  EXPECT_THAT(text, HasSubstr("ports        2 (1 up)\n"));
  EXPECT_THAT(text, HasSubstr("flows        1,500\n"));
}

TEST(ViewsTest, memory_is_in_units) {
  EXPECT_EQ(shown("memory"),
            "resident     512.0 MiB\n"
            "hugepages    yes\n"
            "mbufs        65,536 in 160.0 MiB, 60,000 free\n"
            "flow tables  3.0 MiB\n");
}

TEST(ViewsTest, colour_changes_no_column) {
  std::string coloured = shown("ports", true);
  EXPECT_THAT(coloured, HasSubstr("\033[32mup\033[0m"));
  for (std::size_t at; (at = coloured.find('\033')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  EXPECT_EQ(coloured, shown("ports"));
}

TEST(ViewsTest, what_is_not_understood_is_an_error) {
  for (const View& view : views()) EXPECT_FALSE(render(view, Json{{"ports", 1}}, Style(false))) << view.name;
}

TEST(QuantityTextTest, numbers_have_thousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1'000), "1,000");
  EXPECT_EQ(with_thousands(123'456), "123,456");
  EXPECT_EQ(with_thousands(18'446'744'073'709'551'615U), "18,446,744,073,709,551,615");
}

TEST(QuantityTextTest, bytes_have_units) {
  EXPECT_EQ(with_unit(1023), "1023 B");
  EXPECT_EQ(with_unit(1024), "1.0 KiB");
  EXPECT_EQ(with_unit((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(with_unit(3ULL << 40), "3.0 TiB");
  EXPECT_EQ(with_unit(18'446'744'073'709'551'615U), "16.0 EiB");
}

TEST(QuantityTextTest, durations_have_two_units) {
  EXPECT_EQ(duration_text(-1), "0s");
  EXPECT_EQ(duration_text(59.9), "59s");
  EXPECT_EQ(duration_text(61), "1m01s");
  EXPECT_EQ(duration_text(3725), "1h02m");
  EXPECT_EQ(duration_text(90'000), "1d01h");
}

TEST(QuantityTextTest, nothing_that_a_terminal_obeys_gets_through) {
  EXPECT_EQ(printable("a\033[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "??2J");
  EXPECT_EQ(printable("\xc3\xa4\xe2\x80\x9c"), "\xc3\xa4\xe2\x80\x9c");
}

TEST(TableTest, columns_count_characters_not_bytes) {
  Table table({{"A"}, {"B"}});
  table.add({"\xc3\xa4\xc3\xa4", "x"});
  table.add({"yyy", "z"});
  EXPECT_EQ(table.text(Style(false)), "A    B\n\xc3\xa4\xc3\xa4   x\nyyy  z\n");
}

}  // namespace
}  // namespace sluice::control
