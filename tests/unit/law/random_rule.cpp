// The rules' own generator of random rules and packets, for the laws here.
#include "tests/unit/rules/random_rule.cpp"  // NOLINT(bugprone-suspicious-include): one generator for all programs
