// Documents: texts that are no good YAML, or meant to do harm, end in one clear line.
#include "tests/unit/config/read_config.hpp"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Text {
  std::string text;
  const char* message;
};
class BadText : public ::testing::TestWithParam<Text> {};

TEST_P(BadText, is_told_in_one_line) { EXPECT_THAT(bad(GetParam().text), ElementsAre(HasSubstr(GetParam().message))); }

std::string repeated(const char* piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

/// Each line stands for nine times the one before.
std::string alias_bomb() {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 8; ++j) text += "," + before;
    text += "]\n";
  }
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadText,
    ::testing::Values(Text{"", "t:1:1: is empty; a configuration has at least 'ports'"},
                      Text{"# nothing\n", "is empty"}, Text{"---\n", "is empty"}, Text{"~", "is empty"},
                      Text{"{}", "has no 'ports'"}, Text{"hello", "t:1:1: is 'hello'; right is a mapping"},
                      Text{"- a\n", "is a list"}, Text{"ports: [\n", "not YAML"}, Text{"ports: [}\n", "not YAML"},
                      Text{"a: b: c\n", "t:1:5: not YAML"},
                      Text{"ports: []\n\tbridge: {}\n", "t:2:1: a tab in the indentation"},
                      Text{"\xef\xbb\xbfports: []\n", "byte order mark"},
                      Text{std::string("\xff\xfep\0", 4), "byte order mark"},
                      Text{std::string("ports: []\n\0", 11), "t:2:1: control character 0x00"},
                      Text{"ports: [] # \x1b[0m\n", "t:1:13: control character 0x1b"},
                      Text{"ports: []\n# caf\xe9\n", "t:2:6: byte 0xe9 is not UTF-8"},
                      Text{"ports: [] # \xed\xa0\x80", "byte 0xed is not UTF-8"},
                      Text{"ports: []\n---\nports: []\n", "t:3:1: a second document"},
                      Text{"ports: !!seq []\n", "tag 'tag:yaml.org,2002:seq' is not used here"},
                      Text{"ports: *nowhere\n", "not YAML"},
                      Text{"ports: &a [*a]\n", "t:1:12: this alias stands inside of what it stands for"},
                      Text{alias_bomb(), "more than 200000 values"}, Text{repeated("[", 100'000), "levels deep"},
                      Text{repeated("{a: ", 100'000), "levels deep"}, Text{repeated("- ", 100'000), "levels deep"},
                      Text{std::string((1U << 20U) + 1, ' '), "1048577 bytes long"}));

TEST(Documents, anchors_and_aliases_stand_for_what_they_name) {
  const Config config = good(
      "ports:\n"
      "- {name: a, type: ring, vlan: &red {access: 10}}\n"
      "- {name: b, type: ring, vlan: *red}\n");
  EXPECT_EQ(config.ports[1].vlan.tag, 10);
}

TEST(Documents, windows_line_ends_and_other_languages_are_fine) {
  EXPECT_EQ(good("# größe 大小 🙂\r\nports: []\r\nbridge:\r\n  flood: false\r\n").bridge.flood, false);
}

TEST(Documents, all_errors_are_told_however_many_there_are) {
  std::string text = "ports: []\n";
  for (int i = 0; i < 1000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const auto lines = bad(text);
  ASSERT_EQ(lines.size(), 1000U);
  EXPECT_THAT(lines.back(), HasSubstr("t:1001:1: unknown key 'key999'"));
}

TEST(Documents, what_a_message_shows_is_cut_and_harmless) {
  EXPECT_THAT(bad("ports: []\nflows: {limit: \"\\e[31m" + std::string(100, 'x') + "\"}\n"),
              ElementsAre(HasSubstr("'\\x1b[31m" + std::string(55, 'x') + "…'")));
}

TEST(Documents, a_file_that_cannot_be_read_is_told_by_name) {
  EXPECT_THAT(load_config("/does/not/exist.yaml").error().lines,
              ElementsAre("/does/not/exist.yaml: cannot be read: No such file or directory"));
  EXPECT_THAT(load_config("/tmp").error().lines, ElementsAre("/tmp: cannot be read: Is a directory"));
  EXPECT_THAT(load_config("/dev/zero").error().lines, ElementsAre(HasSubstr("at most 1048576")));
}

}  // namespace
}  // namespace sluice::control
