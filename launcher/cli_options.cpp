#include "launcher/cli_options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "comm/group.h"

namespace terrace {

CLI::Option* add_config(CLI::App* verb, std::string& config, std::vector<std::string>& sets) {
  verb->add_option("--set", sets, "Override a configuration key: key.path=value; may be repeated (docs/config.md lists the keys)")
      ->allow_extra_args(false);
  return verb->add_option("CONFIG", config, "A YAML configuration, or a GGUF model file (then everything has its default)");
}

void add_progress(CLI::App* verb, ProgressMode& mode) {
  const auto check = [](const std::string& text) {
    return progress_mode_from_name(text) ? std::string() : "expected auto, bar, plain or none, found '" + text + "'";
  };
  verb->add_option_function<std::string>("--progress", [&mode](const std::string& text) { mode = *progress_mode_from_name(text); },
                                         "auto, bar, plain or none (none: stderr stays silent unless something is wrong)")
      ->check(check);
}

Command on_rank_zero(Command command) {
  return [command = std::move(command)] { return early_rank() == 0 ? command() : 0; };
}

}  // namespace terrace
