// What the verbs of the command line share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launcher/progress.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace terrace {

/// What a parsed command line does; returns the process's exit code.
using Command = std::function<int()>;

CLI::Option* add_config(CLI::App* verb, std::string& config, std::vector<std::string>& sets);
void add_progress(CLI::App* verb, ProgressMode& mode);
/// A verb that needs no ranks: under mpirun rank 0 alone does it.
Command on_rank_zero(Command command);

}  // namespace terrace
