// The command line: verbs, flags, help, and how errors become messages and exit codes.
#pragma once

#include <string>
#include <vector>

namespace terrace {

/// Runs the command; returns the process's exit code. Prints errors to stderr, under mpirun from rank 0 alone. Main thread.
int run_command_line(int argc, const char* const* argv);

}  // namespace terrace
