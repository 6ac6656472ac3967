// `terrace bench` and its verbs on the command line: flags, help, examples.
#pragma once

#include "launcher/cli_options.h"

namespace terrace {

/// `chosen` is set when one of them is given, and outlives `app`.
void add_bench(CLI::App& app, Command& chosen);

}  // namespace terrace
