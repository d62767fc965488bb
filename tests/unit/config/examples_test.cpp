// The examples in config/ are what they say, and reference.yaml leaves nothing out.
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/unit/config/read_config.hpp"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::filesystem::path kExamples = SLUICE_SOURCE_DIR "/config";

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Examples, every_example_loads_and_begins_with_what_it_is_for) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kExamples)) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const auto config = load_config(entry.path().string());
    if (!config) {
      for (const std::string& line : config.error().lines) ADD_FAILURE() << line;
      continue;
    }
    EXPECT_FALSE(config->ports.empty()) << entry.path();
    EXPECT_EQ(config->source, entry.path().string());
    EXPECT_TRUE(contents(entry.path()).starts_with("# ")) << entry.path();
    EXPECT_THAT(contents(kExamples / "README.md"), HasSubstr("`" + entry.path().filename().string() + "`"));
  }
  EXPECT_GE(files, 10U);
}

/// The keys that the loader knows, as its message about an unknown one lists them.
std::vector<std::string> known_keys(const std::string& text) {
  const auto config = parse_config(text, "t");
  if (config) return {};
  for (const std::string& line : config.error().lines) {
    const auto at = line.find("known here: ");
    if (at == std::string::npos) continue;
    const std::regex word("[a-z0-9_-]+");
    const std::string list = std::regex_replace(line.substr(at + 12), std::regex(" or "), ", ");
    return {std::sregex_token_iterator(list.begin(), list.end(), word), std::sregex_token_iterator()};
  }
  return {};
}

TEST(Examples, the_reference_shows_every_key_of_every_section_and_port_type) {
  const std::string reference = contents(kExamples / "reference.yaml");
  std::vector<std::string> texts{"qqqqqqqqqqqq: 1"};
  for (const std::string section : {"memory", "pmd", "bridge", "flows", "recovery", "control"})
    texts.push_back(section + ": {qqqqqqqqqqqq: 1}");
  texts.emplace_back("pmd: {pin: [{qqqqqqqqqqqq: 1}]}");
  texts.emplace_back("ports: [{vlan: {qqqqqqqqqqqq: 1}}]");
  for (const std::string type :
       {"vhost-user", "pci", "pcap", "af_packet", "af_xdp", "tap", "memif", "null", "ring", "devargs"}) {
    EXPECT_THAT(reference, HasSubstr("type: " + type));
    texts.push_back("ports: [{type: " + type + ", qqqqqqqqqqqq: 1}]");
  }
  for (const std::string& text : texts) {
    const auto keys = known_keys(text);
    EXPECT_FALSE(keys.empty()) << text;
    for (const std::string& key : keys) {
      EXPECT_TRUE(std::regex_search(reference, std::regex("(^|[ {])" + key + ":", std::regex::multiline))) << key;
    }
  }
}

TEST(Examples, the_defaults_that_the_reference_tells_are_the_ones_there_are) {
  const Config defaults = good("ports: [{name: a, type: vhost-user, path: /a}]");
  const auto reference = load_config(kExamples / "reference.yaml");
  ASSERT_TRUE(reference);
  EXPECT_FALSE(defaults.memory.hugepages) << "the reference has a NIC, and so hugepages";
  EXPECT_EQ(reference->memory.megabytes, defaults.memory.megabytes);
  EXPECT_EQ(reference->pmd.idle_sleep, defaults.pmd.idle_sleep);
  EXPECT_EQ(reference->bridge.mac_ageing, defaults.bridge.mac_ageing);
  EXPECT_EQ(reference->bridge.mac_table_size, defaults.bridge.mac_table_size);
  EXPECT_EQ(reference->bridge.flood, defaults.bridge.flood);
  EXPECT_EQ(reference->flows.limit, defaults.flows.limit);
  EXPECT_EQ(reference->flows.idle_timeout, defaults.flows.idle_timeout);
  EXPECT_EQ(reference->recovery.standby, defaults.recovery.standby);
  EXPECT_EQ(reference->recovery.hang_timeout, defaults.recovery.hang_timeout);
  EXPECT_EQ(reference->control_socket, defaults.control_socket);
  EXPECT_EQ(reference->ports[0].mtu, defaults.ports[0].mtu);
  EXPECT_EQ(reference->ports[0].queues, defaults.ports[0].queues);
  EXPECT_EQ(reference->ports[0].queue_size, defaults.ports[0].queue_size);
  EXPECT_EQ(reference->ports[0].vhost_user->mode, defaults.ports[0].vhost_user->mode);
  EXPECT_EQ(defaults.pmd.cores, std::vector<unsigned>{1});
  EXPECT_EQ(defaults.ports[0].vlan, VlanConfig{});
}

}  // namespace
}  // namespace sluice::control
