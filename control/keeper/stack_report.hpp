// Stacks in the log: of a thread that the keeper finds hung, and of one that crashes.
#pragma once

namespace sluice::control {

/// From now on a thread that gets SIGQUIT writes its stack to stderr and goes on; one that crashes (SIGSEGV, SIGABRT,
/// SIGFPE, SIGILL) writes it and dies of the same signal, unless somebody handles that signal already. Addresses are
/// for addr2line.
void report_stacks();

}  // namespace sluice::control
