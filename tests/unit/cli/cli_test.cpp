// The command line against a made-up switch: exit codes, what goes to stdout and stderr, help, completion.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "control/cli/cli.hpp"
#include "control/config/load.hpp"
#include "control/rpc/switch_methods.hpp"
#include "control/rules/parse.hpp"
#include "control/rules/words.hpp"
#include "tests/unit/rpc/sample_operations.hpp"
#include "tests/unit/rpc/served.hpp"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int exit;
  std::string out;
  std::string err;
};

Outcome sluice(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "sluice");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int exit = run_cli(static_cast<int>(arguments.size()), arguments.data());
  return {exit, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
}

/// A switch that answers at `socket()`.
class CliTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = std::make_unique<RpcServer>(loop_, std::move(*ListeningSocket::open(path_)),
                                          switch_methods(sample_operations(asked_)));
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.stop();
    thread_.join();
    server_.reset();
  }
  Outcome ask(std::vector<const char*> arguments) {
    arguments.insert(arguments.end(), {"--socket", path_.c_str()});
    return sluice(std::move(arguments));
  }
  /// The program itself, in a process of its own that writes to `out`. Forked alone, it would have for good the locks
  /// that the server's thread holds at that moment.
  pid_t start(const std::string& out, std::vector<const char*> arguments) const {
    arguments.insert(arguments.begin(), "sluice");
    arguments.insert(arguments.end(), {"--socket", path_.c_str(), nullptr});
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int file = ::open(out.c_str(), O_WRONLY | O_CREAT, 0600);
    if (file < 0 || ::dup2(file, STDOUT_FILENO) < 0) ::_exit(99);
    ::execv(SLUICE_BINARY, const_cast<char**>(arguments.data()));
    ::_exit(98);
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "control.sock";
  std::shared_ptr<std::vector<std::string>> asked_ = std::make_shared<std::vector<std::string>>();
  ports::EventLoop loop_;
  std::unique_ptr<RpcServer> server_;
  std::thread thread_;
};

const std::vector<std::vector<const char*>> kCommands{{},
                                                      {"run"},
                                                      {"check"},
                                                      {"show"},
                                                      {"show", "status"},
                                                      {"show", "ports"},
                                                      {"show", "flows"},
                                                      {"show", "fdb"},
                                                      {"show", "pmds"},
                                                      {"show", "drops"},
                                                      {"show", "rules"},
                                                      {"show", "memory"},
                                                      {"stats"},
                                                      {"stats", "clear"},
                                                      {"fdb"},
                                                      {"fdb", "flush"},
                                                      {"rule"},
                                                      {"rule", "add"},
                                                      {"rule", "del"},
                                                      {"port"},
                                                      {"port", "add"},
                                                      {"port", "del"},
                                                      {"log"},
                                                      {"trace"},
                                                      {"upgrade"},
                                                      {"replay"},
                                                      {"completion"}};

TEST(CliHelpTest, every_command_has_help_with_examples) {
  for (auto command : kCommands) {
    command.push_back("--help");
    const Outcome outcome = sluice(command);
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_THAT(outcome.out, HasSubstr("Examples:\n  ")) << ::testing::PrintToString(command);
    EXPECT_EQ(outcome.err, "");
  }
}

/// What stands behind `command` in the examples of its help, without comments and a shell's quotes.
std::vector<std::string> examples_of(const std::vector<const char*>& command, const std::string& words) {
  auto arguments = command;
  arguments.push_back("--help");
  std::istringstream help(sluice(arguments).out);
  std::vector<std::string> found;
  for (std::string line; std::getline(help, line);) {
    if (!line.starts_with("  sluice " + words + " ")) continue;
    line.erase(0, words.size() + 10);
    std::erase(line, '\'');
    found.push_back(line);
  }
  return found;
}

TEST(CliHelpTest, the_examples_of_rules_packets_and_ports_are_good) {
  PortNames names;
  names.add("vm1", 1);
  const auto rules = examples_of({"rule", "add"}, "rule add");
  const auto packets = examples_of({"trace"}, "trace");
  const auto ports = examples_of({"port", "add"}, "port add");
  EXPECT_EQ(rules.size() + packets.size() + ports.size(), 6U);
  for (const auto& text : rules) EXPECT_TRUE(parse_rule(text, names)) << parse_rule(text, names).error().message;
  for (const auto& text : packets) EXPECT_TRUE(parse_packet(text, names)) << parse_packet(text, names).error().message;
  for (const auto& text : ports) EXPECT_TRUE(parse_port(text)) << parse_port(text).error().message;
}

TEST(CliHelpTest, the_help_of_rule_add_has_every_word_of_the_syntax) {
  const Outcome outcome = sluice({"rule", "add", "--help"});
  for (const auto words : {match_words(), action_words()}) {
    for (const auto word : words) EXPECT_THAT(outcome.out, HasSubstr(word));
  }
  std::istringstream help(outcome.out);
  for (std::string line; std::getline(help, line);) EXPECT_LE(line.size(), 120U) << line;
}

TEST(CliHelpTest, the_version_is_printed) {
  const Outcome outcome = sluice({"--version"});
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex("sluice [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(CliUsageTest, what_is_not_understood_exits_2_and_points_to_the_help) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases{
      {{}, "Try 'sluice --help'."},
      {{"nonsense"}, "Try 'sluice --help'."},
      {{"nonsense"}, "'nonsense' is no command of 'sluice'; there are run, check, "},
      {{"show"}, "Try 'sluice show --help'."},
      {{"show", "port"}, "Try 'sluice show --help'."},
      {{"show", "port"}, "'port' is no command of 'sluice show'; did you mean ports?; there are status, ports, "},
      {{"show", "ports", "--jsn"}, "Try 'sluice show ports --help'."},
      {{"show", "ports", "--json=3"}, "Try 'sluice show ports --help'."},
      {{"show", "ports", "--watch", "soon"}, "Try 'sluice show ports --help'."},
      {{"show", "ports", "--watch", "0"}, "Try 'sluice show ports --help'."},
      {{"show", "ports", "--limit", "3"}, "Try 'sluice show ports --help'."},
      {{"show", "flows", "--limit", "-3"}, "Try 'sluice show flows --help'."},
      {{"run"}, "Try 'sluice run --help'."},
      {{"check", "a", "b"}, "Try 'sluice check --help'."},
      {{"rule", "add"}, "Try 'sluice rule add --help'."},
      {{"log", "loud"}, "Try 'sluice log --help'."},
      {{"replay", "a", "--in", "vm1", "--out", "o"}, "Try 'sluice replay --help'."},
      {{"completion", "fish"}, "Try 'sluice completion --help'."}};
  for (const auto& [arguments, advice] : cases) {
    const Outcome outcome = sluice(arguments);
    EXPECT_EQ(outcome.exit, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(outcome.err, StartsWith("sluice: "));
    EXPECT_THAT(outcome.err, HasSubstr(advice));
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(CliUsageTest, no_switch_there_exits_1) {
  const TemporaryDirectory directory;
  const std::string path = directory / "none";
  const Outcome outcome = sluice({"show", "status", "--socket", path.c_str()});
  EXPECT_EQ(outcome.exit, 1);
  EXPECT_THAT(outcome.err, StartsWith("sluice: no switch answers at '" + path));
}

TEST(CliConfigTest, check_says_all_that_is_wrong_and_run_refuses_it) {
  const TemporaryDirectory directory;
  const std::string path = directory / "bad.yaml";
  std::ofstream(path) << "prots: []\nports: []\npmd: {cores: [one]}\n";
  for (const auto& [command, exit] : {std::pair{"check", 1}, std::pair{"run", 2}}) {
    const Outcome outcome = sluice({command, path.c_str()});
    EXPECT_EQ(outcome.exit, exit) << command;
    EXPECT_THAT(outcome.err, HasSubstr(path + ":1:1: "));
    EXPECT_THAT(outcome.err, HasSubstr(path + ":3:"));
    EXPECT_THAT(outcome.err, HasSubstr("sluice: " + path + ": 2 errors\n"));
  }
}

TEST(CliConfigTest, check_says_every_wrong_rule_with_its_place) {
  const TemporaryDirectory directory;
  const std::string path = directory / "rules.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: 'null'}\nrules:\n  - in_port=vm2,actions=drop\n"
                         "  - in_port=vm1,actions=normal\n  - tp_dst=22,actions=drop\n";
  const Outcome outcome = sluice({"check", path.c_str()});
  EXPECT_EQ(outcome.exit, 1);
  EXPECT_THAT(outcome.err, HasSubstr(path + ":4:13: rule 'in_port=vm2,actions=drop': "));
  EXPECT_THAT(outcome.err, HasSubstr(path + ":6:5: rule 'tp_dst=22,actions=drop': "));
  EXPECT_THAT(outcome.err, HasSubstr(": 2 errors\n"));
}

TEST(CliConfigTest, check_says_wrong_rules_beside_all_else_that_is_wrong) {
  const TemporaryDirectory directory;
  const std::string path = directory / "both.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: 'null', mtu: 1}\nrules:\n  - 'in_port=vm2,actions=drop'\n"
                         "  - >-\n    in_port=vm3,\n    actions=drop\n";
  const Outcome outcome = sluice({"check", path.c_str()});
  EXPECT_EQ(outcome.exit, 1);
  EXPECT_THAT(outcome.err, HasSubstr(path + ":2:"));
  EXPECT_THAT(outcome.err, HasSubstr(path + ":4:14: rule 'in_port=vm2,actions=drop': "));
  EXPECT_THAT(outcome.err, HasSubstr("rule 'in_port=vm3, actions=drop': column 9: "));
  EXPECT_THAT(outcome.err, HasSubstr(": 3 errors\n"));
}

TEST(CliConfigTest, replay_says_all_that_is_wrong_too_and_exits_2) {
  const TemporaryDirectory directory;
  const std::string path = directory / "both.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: 'null', mtu: 1}\nrules:\n  - in_port=vm2,actions=drop\n"
                         "  - tp_dst=22,actions=drop\n";
  const Outcome outcome = sluice({"replay", path.c_str(), "--in", "vm1=none.pcap", "--out", "out"});
  EXPECT_EQ(outcome.exit, 2);
  EXPECT_THAT(outcome.err, HasSubstr(path + ":2:"));
  EXPECT_THAT(outcome.err, HasSubstr(path + ":4:13: rule 'in_port=vm2,actions=drop': "));
  EXPECT_THAT(outcome.err, HasSubstr(path + ":5:5: rule 'tp_dst=22,actions=drop': "));
  EXPECT_THAT(outcome.err, HasSubstr(": 3 errors\n"));
}

TEST(CliConfigTest, replay_says_what_is_wrong_with_each_of_its_inputs) {
  const TemporaryDirectory directory;
  const std::string path = directory / "good.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: 'null'}\n";
  const std::string none = directory / "none.pcap";
  const std::string good = "vm1=" + none;
  const std::string wrong = "vm2=" + none;
  const Outcome outcome = sluice(
      {"replay", path.c_str(), "--in", good.c_str(), "--in", wrong.c_str(), "--in", "vm9=x.pcap", "--out", "out"});
  EXPECT_EQ(outcome.exit, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--in vm2=…: " + path + " has no port of that name"));
  EXPECT_THAT(outcome.err, HasSubstr("--in vm9=…: " + path + " has no port of that name"));
  EXPECT_THAT(outcome.err, HasSubstr(none));
}

TEST(CliConfigTest, run_refuses_the_socket_of_a_port_as_its_own) {
  const TemporaryDirectory directory;
  const std::string path = directory / "good.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: vhost-user, path: " << directory / "vm1.sock"
                      << "}\n";
  const std::string socket = directory / "x/../vm1.sock";
  const Outcome outcome = sluice({"run", path.c_str(), "--socket", socket.c_str()});
  EXPECT_EQ(outcome.exit, 1);
  EXPECT_EQ(outcome.err, "sluice: --socket " + socket + ": is the path of port 'vm1'; right is another\n");
}

TEST(CliConfigTest, check_says_ok_in_one_line) {
  const TemporaryDirectory directory;
  const std::string path = directory / "good.yaml";
  std::ofstream(path) << "ports:\n  - {name: vm1, type: 'null'}\n  - {name: vm2, type: 'null'}\nrules:\n  - "
                         "in_port=vm2,actions=output:vm1\n";
  const Outcome outcome = sluice({"check", path.c_str()});
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_EQ(outcome.out, path + ": OK: 2 ports, 1 rule, PMDs on core 1\n");
}

TEST(CliCompletionTest, the_script_is_bash_and_completes) {
  const TemporaryDirectory directory;
  const std::string script = directory / "completion";
  std::ofstream(script) << sluice({"completion", "bash"}).out;
  EXPECT_EQ(std::system(("bash -n " + script).c_str()), 0);
  const auto completes = [&](const std::string& words) {
    const std::string out = directory / "out";
    const std::string command = "bash -c 'source " + script + "; COMP_WORDS=(" + words +
                                "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sluice; echo \"${COMPREPLY[*]}\"' > " + out;
    EXPECT_EQ(std::system(command.c_str()), 0);
    std::string line;
    std::getline(std::ifstream(out) >> std::ws, line);
    return line;
  };
  EXPECT_EQ(completes("sluice sh"), "show");
  EXPECT_EQ(completes("sluice show p"), "ports pmds");
  EXPECT_EQ(completes("sluice show flows --l"), "--limit");
  EXPECT_EQ(completes("sluice log d"), "debug");
  EXPECT_EQ(completes("sluice rule \"\""), "add del");
}

TEST_F(CliTest, every_view_is_shown_in_words_and_in_json) {
  for (const char* view : {"status", "ports", "flows", "fdb", "pmds", "drops", "rules", "memory"}) {
    const Outcome words = ask({"show", view});
    EXPECT_EQ(words.exit, 0) << words.err;
    EXPECT_GT(words.out.size(), 20U);
    EXPECT_THAT(words.out, Not(HasSubstr("\033"))) << "colour, or a terminal's command, in a pipe";
    const Outcome json = ask({"show", view, "--json"});
    EXPECT_EQ(json.exit, 0);
    EXPECT_TRUE(Json::parse(json.out).is_object());
  }
}

TEST_F(CliTest, changes_reach_the_switch) {
  EXPECT_EQ(ask({"stats", "clear"}).exit, 0);
  EXPECT_EQ(ask({"fdb", "flush"}).out, "1 MAC address forgotten\n");
  EXPECT_EQ(ask({"fdb", "flush", "vm1"}).exit, 0);
  EXPECT_EQ(ask({"rule", "add", "arp,actions=drop"}).exit, 0);
  EXPECT_EQ(ask({"rule", "del", "arp"}).out, "2 rules deleted\n");
  EXPECT_EQ(ask({"port", "add", "name=vm3", "type=tap"}).exit, 0);
  EXPECT_EQ(ask({"port", "del", "vm3"}).exit, 0);
  EXPECT_EQ(ask({"log", "debug"}).exit, 0);
  EXPECT_EQ(ask({"trace", "in_port=vm1"}).out, "packet: in_port=vm1\nbridge: floods VLAN 0\n");
  EXPECT_THAT(*asked_,
              ElementsAre("clear_stats", "flush_fdb ", "flush_fdb vm1", "add_rule arp,actions=drop", "delete_rules arp",
                          "add_port vm3 type=tap", "delete_port vm3", "set_log_level debug"));
}

TEST_F(CliTest, what_the_switch_refuses_exits_1_with_its_words) {
  const Outcome rule = ask({"rule", "add", "bad"});
  EXPECT_EQ(rule.exit, 1);
  EXPECT_EQ(rule.err, "sluice: column 1: 'bad' is no field\n");
  EXPECT_EQ(ask({"fdb", "flush", "vm9"}).err, "sluice: port 'vm9' is not there\n");
  EXPECT_EQ(ask({"rule", "del", "tcp"}).exit, 1);
  EXPECT_EQ(ask({"rule", "del", "all"}).exit, 0);
}

TEST_F(CliTest, limit_is_passed_on) {
  EXPECT_EQ(ask({"show", "flows", "--limit", "7"}).exit, 0);
  EXPECT_THAT(*asked_, ElementsAre("flows 7"));
}

TEST_F(CliTest, a_full_disk_is_noticed) {
  const pid_t child = start("/dev/full", {"show", "status"});
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(CliTest, watch_goes_on_until_ctrl_c_and_exits_0) {
  const std::string out = directory_ / "out";
  const pid_t child = start(out, {"show", "status", "--json", "--watch", "0.1"});
  const auto lines = [&] {
    std::ifstream file(out);
    int n = 0;
    for (std::string line; std::getline(file, line);) n += Json::parse(line).contains("pid") ? 1 : 0;
    return n;
  };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (lines() < 3 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GE(lines(), 3);
  ::kill(child, SIGINT);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace sluice::control
