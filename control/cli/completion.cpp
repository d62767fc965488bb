// `sluice completion bash`: a completion script, made from the commands there are.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "control/cli/cli.hpp"
#include "control/cli/commands.hpp"
#include "control/log.hpp"

namespace sluice::control {
namespace {

/// `path` is the command's words, a blank before each; "" is sluice itself.
void add_cases(const CLI::App& command, const std::string& path, std::string& commands, std::string& words) {
  std::vector<std::string> subcommands;
  std::vector<std::string> options;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  // Those of no group are not for people.
  const auto shown = command.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
  subcommands.reserve(shown.size());
  for (const CLI::App* sub : shown) subcommands.push_back(sub->get_name());
  if (!path.empty()) commands += fmt::format("{}\"{}\"", commands.empty() ? "" : "|", path);
  words += fmt::format("    \"{}\") words=\"{}\" options=\"{}\" ;;\n", path, fmt::join(subcommands, " "),
                       fmt::join(options, " "));
  for (const CLI::App* sub : shown) {
    add_cases(*sub, path + " " + sub->get_name(), commands, words);
  }
}

constexpr const char* kScript = R"(# Completion of sluice for bash. Load it with: source <(sluice completion bash)
_sluice() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} path="" words="" options="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {commands}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path" in
{words}  esac
  case "$path" in
    " log") words="{levels}" ;;
    " completion") words="bash" ;;
    " fdb flush"|" port del") words=$("${{COMP_WORDS[0]}}" show ports 2>/dev/null | awk 'NR > 1 {{ print $1 }}') ;;
  esac
  [[ $current == -* ]] && words=$options
  # No words: the names of files, by "-o default".
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _sluice sluice
)";

}  // namespace

void add_completion(CLI::App& app, int& exit) {
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash")->required()->check(CLI::IsMember({"bash"}))->option_text("REQUIRED");
  command->footer(
      examples({"source <(sluice completion bash)", "sluice completion bash > /etc/bash_completion.d/sluice"}));
  command->callback([&app, &exit, shell] {  // which the option writes to, and which bash is all of
    std::string commands;
    std::string words;
    add_cases(app, "", commands, words);
    fmt::print(kScript, fmt::arg("commands", commands), fmt::arg("words", words),
               fmt::arg("levels", fmt::format("{}", fmt::join(kLogLevels, " "))));
    exit = kDone;
  });
}

}  // namespace sluice::control
