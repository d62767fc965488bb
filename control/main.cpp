// sluice: the switch and the command line that looks into it, in one program.
#include "control/cli/cli.hpp"

int main(int argc, char** argv) { return sluice::control::run_cli(argc, argv); }
