// The commands that are one request to a running switch: stats, fdb, rule, port, log, trace.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/cli/quantity_text.hpp"
#include "control/log.hpp"
#include "control/rpc/client.hpp"
#include "control/rules/words.hpp"

namespace sluice::control {
namespace {

/// What such a command has from its arguments.
struct Request {
  std::string socket;
  std::string text;                ///< the one argument, if it takes one
  std::vector<std::string> words;  ///< port add
};

/// Asks; `then` prints the result and returns an Exit.
int ask(
    const Request& request, const char* method, const Json& params,
    const std::function<int(const Json&)>& then = [](const Json&) { return static_cast<int>(kDone); }) {
  auto client = RpcClient::connect(request.socket);
  if (!client) return fail(client.error().message);
  const auto result = client->call(method, params);
  if (!result) return fail(result.error().message);
  try {
    return then(*result);
  } catch (const Json::exception& error) {
    return fail(fmt::format("the switch answers what this program does not know: is it of another version? ({})",
                            error.what()));
  }
}

std::string counted(const Json& result, const char* name, const char* one, const char* many) {
  const auto n = result.at(name).get<std::uint64_t>();
  return fmt::format("{} {}", with_thousands(n), n == 1 ? one : many);
}

/// "Label:     a, b, c", in lines that a terminal holds, the words below each other.
std::string listed(const char* label, std::span<const std::string_view> words) {
  constexpr std::size_t kIndentation = 11;
  constexpr std::size_t kColumns = 100;
  std::string text = fmt::format("{:<{}}", label, kIndentation);
  std::size_t line = 0;  // where it begins
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) text += ",";
    if (text.size() - line + words[i].size() + 2 > kColumns) {
      line = text.size() + 1;
      text += fmt::format("\n{:{}}", "", kIndentation);
    } else if (i != 0) {
      text += " ";
    }
    text += words[i];
  }
  return text + "\n";
}

/// What a rule's match may consist of.
std::string match_help() {
  std::vector<std::string_view> fields;
  std::vector<std::string_view> protocols;
  for (const FieldWord& word : field_words()) fields.push_back(word.name);
  for (const ProtocolWord& word : protocol_words()) protocols.push_back(word.name);
  return listed("Protocols:", protocols) + listed("Fields:", fields);
}

using Action = std::function<int(const Request&)>;

/// A command that has --socket, examples, and `action`.
std::pair<CLI::App*, std::shared_ptr<Request>> add(CLI::App& group, const char* name, const char* summary, int& exit,
                                                   std::initializer_list<const char*> lines, Action action) {
  CLI::App* command = group.add_subcommand(name, summary);
  auto request = std::make_shared<Request>();
  add_socket_option(*command, request->socket);
  command->footer(examples(lines));
  command->callback([request, action = std::move(action), &exit] { exit = action(*request); });
  return {command, request};
}

CLI::App& add_group(CLI::App& app, const char* name, const char* summary, std::initializer_list<const char*> lines) {
  CLI::App* group = app.add_subcommand(name, summary);
  group->require_subcommand(1);
  group->footer(examples(lines));
  return *group;
}

int flush(const Request& request) {
  Json params = Json::object();
  if (!request.text.empty()) params["port"] = request.text;
  return ask(request, "fdb_flush", params, [](const Json& result) {
    fmt::print("{} forgotten\n", counted(result, "flushed", "MAC address", "MAC addresses"));
    return kDone;
  });
}

int delete_rule(const Request& request) {
  return ask(request, "rule_del", {{"rule", request.text}}, [&](const Json& result) {
    if (result.at("deleted") == 0 && request.text != "all") {
      return fail(fmt::format("no rule has the match and the priority of '{}'", request.text));
    }
    fmt::print("{} deleted\n", counted(result, "deleted", "rule", "rules"));
    return static_cast<int>(kDone);
  });
}

int trace(const Request& request) {
  return ask(request, "trace", {{"packet", request.text}}, [](const Json& result) {
    for (const Json& step : result.at("steps")) fmt::print("{}\n", printable(step.get<std::string>()));
    return kDone;
  });
}

void add_stats_and_fdb(CLI::App& app, int& exit) {
  CLI::App& stats = add_group(app, "stats", "Counters of a running switch", {"sluice stats clear"});
  add(stats, "clear", "Count from zero on: ports, drops, PMDs, queues", exit,
      {"sluice stats clear && sleep 10 && sluice show pmds"},
      [](const Request& request) { return ask(request, "stats_clear", Json::object()); });

  CLI::App& fdb = add_group(app, "fdb", "The MAC addresses a running switch has learnt", {"sluice fdb flush"});
  auto [command, request] =
      add(fdb, "flush", "Forget learnt MAC addresses", exit,
          {"sluice fdb flush          all of them", "sluice fdb flush vm1      those behind vm1"}, flush);
  command->add_option("PORT", request->text, "Those behind this port only");
}

void add_rules(CLI::App& app, int& exit) {
  CLI::App& group = add_group(app, "rule", "Change the rules of a running switch",
                              {"sluice rule add 'priority=100,in_port=vm1,tcp,tp_dst=22,actions=drop'"});
  auto [add_command, add_request] = add(
      group, "add", "Add a rule", exit,
      {"sluice rule add 'priority=100,in_port=vm1,tcp,tp_dst=22,actions=drop'", "sluice rule add 'arp,actions=normal'"},
      [](const Request& request) {
        return ask(request, "rule_add", {{"rule", request.text}});
      });
  add_command->add_option("RULE", add_request->text, "In the syntax of ovs-ofctl flows")->required();
  add_command->footer(
      "A rule is [priority=N,][MATCH,…]actions=ACTION,…: MATCH a protocol or FIELD=VALUE[/MASK], N 0 to 65535 (32768 "
      "if\n"
      "left out). Of those that match a packet, the one of the highest priority decides; none: normal.\n\n" +
      match_help() + listed("Actions:", action_words()) + "\n" + add_command->get_footer());

  auto [del_command, del_request] =
      add(group, "del", "Delete the rules of one match and priority", exit,
          {"sluice rule del 'priority=100,in_port=vm1,tcp,tp_dst=22'", "sluice rule del all"}, delete_rule);
  del_command->add_option("RULE", del_request->text, "Match and priority of the rule, or 'all'")->required();
}

void add_ports(CLI::App& app, int& exit) {
  CLI::App& group = add_group(app, "port", "Add and take away ports of a running switch",
                              {"sluice port add name=vm3 type=vhost-user path=/run/vm3.sock", "sluice port del vm3"});
  auto [add_command, add_request] =
      add(group, "add", "Add a port", exit,
          {"sluice port add name=vm3 type=vhost-user path=/run/vm3.sock vlan.access=10",
           "sluice port add '{name: t0, type: tap, interface: tap0, vlan: {trunk: [10, 20-29]}}'"},
          [](const Request& request) {
            const std::string text = fmt::format("{}", fmt::join(request.words, " "));
            return ask(request, "port_add", {{"port", text}});
          });
  add_command->add_option("PORT", add_request->words, "Its settings: KEY=VALUE …, or as in the configuration")
      ->required();

  auto [del_command, del_request] =
      add(group, "del", "Take a port away", exit, {"sluice port del vm3"}, [](const Request& request) {
        return ask(request, "port_del", {{"name", request.text}});
      });
  del_command->add_option("NAME", del_request->text, "The port's name")->required();
}

void add_log_and_trace(CLI::App& app, int& exit) {
  auto [log, log_request] = add(app, "log", "Set how much a running switch says in its log", exit,
                                {"sluice log debug", "sluice log info"}, [](const Request& request) {
                                  return ask(request, "log", {{"level", request.text}});
                                });
  log->add_option("LEVEL", log_request->text, fmt::format("{}", fmt::join(kLogLevels, ", ")))
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(kLogLevels.begin(), kLogLevels.end())))
      ->option_text("REQUIRED");
  log->footer(
      "At first it is info. debug adds each request of the control socket, what is negotiated with a VM and which of "
      "its\n"
      "rings run. The level is the worker's, which switches, and ends with it; the keeper's few lines, of workers "
      "that\n"
      "start and end, always come.\n\n" +
      log->get_footer());

  auto [trace_command, trace_request] =
      add(app, "trace", "Say step by step what would happen to a packet, and why", exit,
          {"sluice trace 'in_port=vm1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=22'",
           "sluice trace 'in_port=vm1,arp,dl_dst=ff:ff:ff:ff:ff:ff'"},
          trace);
  trace_command->add_option("PACKET", trace_request->text, "In the syntax of a rule's match")->required();
  trace_command->footer(match_help() + "\n" + trace_command->get_footer());
}

}  // namespace

void add_changes(CLI::App& app, int& exit) {
  add_stats_and_fdb(app, exit);
  add_rules(app, exit);
  add_ports(app, exit);
  add_log_and_trace(app, exit);
}

}  // namespace sluice::control
