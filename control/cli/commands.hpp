// Commands: each adds itself to the command line, with its help and its examples.
//
// A command's callback leaves its Exit in `exit`; nothing is thrown out of it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace sluice::control {

void add_run(CLI::App& app, int& exit);
void add_check(CLI::App& app, int& exit);
void add_show(CLI::App& app, int& exit);
void add_changes(CLI::App& app, int& exit);  ///< stats, fdb, rule, port, log, trace: one request each
void add_worker(CLI::App& app, int& exit);
void add_upgrade(CLI::App& app, int& exit);
void add_replay(CLI::App& app, int& exit);
void add_completion(CLI::App& app, int& exit);

/// Prints "sluice: MESSAGE" to stderr; returns kFailed.
int fail(const std::string& message);

/// The option that every command has that talks to a running switch.
void add_socket_option(CLI::App& command, std::string& socket);

/// "Examples:" and the lines, indented, as the end of a command's help.
[[nodiscard]] std::string examples(std::initializer_list<const char*> lines);

}  // namespace sluice::control
