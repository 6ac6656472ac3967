#include "launcher/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <memory>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "launcher/batch_command.h"
#include "launcher/bench_cli.h"
#include "launcher/cli_options.h"
#include "launcher/config_schema.h"
#include "launcher/config_file.h"
#include "launcher/inspect.h"
#include "launcher/render.h"
#include "launcher/run.h"
#include "launcher/serve_command.h"
#include "launcher/stdio.h"
#include "launcher/suggest.h"
#include "launcher/tokenize.h"
#include "launcher/top_command.h"
#include "launcher/version.h"

namespace terrace {
namespace {

constexpr int kUsageExit = 2;

constexpr const char* kExitCodes = R"(Exit codes: 0 success; 1 a bug in terrace; 2 a wrong command line, configuration or input; 3 a model or file that
is missing, damaged or unsupported; 4 not enough memory; 5 the output, the network or a port failed; 6 a rank was lost;
130 and 143 after Ctrl-C and SIGTERM. All ranks leave with the same code; of a signal mpirun itself makes 1.)";

constexpr const char* kRunExamples = R"(Examples:
  terrace run configs/smollm2.yaml -p "Why is the sky blue?"
  cat letter.txt | terrace run model.gguf --system "Summarise in one sentence."
  terrace run model.gguf --raw -p "The capital of France is" --max-tokens 5
  terrace run configs/smollm2.yaml -p "A poem." --temperature 0.8 --seed 7
  mpirun -n 2 terrace run configs/smollm2.yaml -p "..."     (after: source scripts/mpi_env.sh)
A dummy model (model.load: dummy) has no tokenizer: the prompt's bytes are its ids, and ids are printed.)";

constexpr const char* kBatchExamples = R"(Examples:
  terrace batch configs/smollm2.yaml --input requests.jsonl --output results.jsonl
  mpirun -n 2 terrace batch configs/smollm2.yaml --input in.jsonl --output out.jsonl --order input --progress bar
A line of the input, as in OpenAI's batch files:
  {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "Once", "max_tokens": 20, "temperature": 0}}
A run that was stopped or killed at any moment goes on with the same command: what stands in the output is done.)";

constexpr const char* kServeExamples = R"(Examples:
  terrace serve configs/smollm2.yaml
  mpirun -n 2 terrace serve configs/smollm2.yaml --set server.port=9000     (after: source scripts/mpi_env.sh)
  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "Hi"}]}'
The server.* keys (docs/config.md) say where it listens, who may ask, and what it refuses. Ctrl-C or SIGTERM: what was accepted is answered first.)";

constexpr const char* kTopExamples = R"(Examples:
  terrace top http://127.0.0.1:8000                         (q or Ctrl-C ends it)
  TERRACE_API_KEY=... terrace top https://models.example.org
  terrace top 127.0.0.1:8000 --count 1                      one look; a line each second where stdout is no terminal)";

constexpr const char* kRenderExamples = R"(Examples:
  echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' | terrace render model.gguf
  terrace render --template chat.jinja --bos "<s>" --eos "</s>" --now 2025-03-14T09:26:53 < request.json)";

constexpr const char* kTokenizeExamples = R"(Examples:
  printf 'Hello world' | terrace tokenize model.gguf             [19556, 905]
  echo '[19556, 905]' | terrace tokenize model.gguf --decode
  terrace tokenize model.gguf --jsonl < strings.jsonl            one JSON string a line in, one list a line out)";

void add_run(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* verb = app.add_subcommand("run", "Answer one prompt; the answer streams to stdout");
  add_config(verb, options->config, options->sets)->required();
  verb->add_option("-p,--prompt", options->prompt, "The prompt (without it: all of standard input, as it is)");
  verb->add_option("--system", options->system, "A system message before the prompt");
  verb->add_flag("--raw", options->raw, "Give the model the prompt as it is, without the chat template");
  verb->add_option("--max-tokens", options->max_tokens, "Tokens to generate at most")->check(CLI::Range(1, 1 << 24))->capture_default_str();
  verb->add_option("--temperature", options->temperature, "0 is greedy")->check(CLI::Range(0.0, 100.0))->capture_default_str();
  verb->add_option("--top-p", options->top_p, "Sample from the most likely tokens of this probability together")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--top-k", options->top_k, "Sample from so many most likely tokens; 0 is all")->check(CLI::Range(0, 1 << 22));
  verb->add_option("--min-p", options->min_p, "Drop tokens less likely than this share of the most likely")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--seed", options->seed, "Same seed, same text (without it: another each time, printed at the end)");
  verb->add_option("--stop", options->stop, "End before this text; may be repeated")->allow_extra_args(false);
  verb->add_flag("--ignore-eos", options->ignore_eos, "Go on after the model's end token");
  add_progress(verb, options->progress);
  verb->add_flag("--explain", options->explain, "Print the configuration with the origin of each value, and the memory plan; run nothing");
  verb->footer(kRunExamples);
  verb->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

void add_batch(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<BatchOptions>();
  CLI::App* verb = app.add_subcommand("batch", "Answer a file of requests (OpenAI batch JSON lines)");
  add_config(verb, options->config, options->sets)->required();
  verb->add_option("--input", options->input, "The requests, one a line")->required()->type_name("FILE");
  verb->add_option("--output", options->output, "The results, appended as they finish; what stands there is done")->required()->type_name("FILE");
  verb->add_option_function<std::string>("--order", [options](const std::string& order) { options->input_order = order == "input"; },
                                         "finish: as results come; input: sorted like the input when all are there")
      ->check(CLI::IsMember({"finish", "input"}));
  verb->add_flag("--retry-errors", options->retry_errors, "Do the lines that failed in an earlier run again");
  verb->add_option("--max-in-flight", options->max_in_flight, "Sequences queued or running at a time (default: twice scheduler.max_sequences)")
      ->check(CLI::Range(1, 1 << 20));
  add_progress(verb, options->progress);
  verb->footer(kBatchExamples);
  verb->callback([options, &chosen] { chosen = [options] { return run_batch(*options); }; });
}

void add_serve(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* verb = app.add_subcommand("serve", "Serve the model over HTTP, as OpenAI's API has it");
  add_config(verb, options->config, options->sets)->required();
  add_progress(verb, options->progress);
  verb->footer(kServeExamples);
  verb->callback([options, &chosen] { chosen = [options] { return run_serve(*options); }; });
}

void add_top(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* verb = app.add_subcommand("top", "Watch a running server: speed, latencies, memory tiers, ranks");
  verb->add_option("URL", options->url, "The server's address")->required();
  verb->add_option("--api-key", options->api_key, "Where the server wants one; others can see it in the list of processes, which TERRACE_API_KEY avoids")
      ->envname("TERRACE_API_KEY");
  verb->add_option("--interval", options->interval, "Seconds between two looks")->check(CLI::Range(0.1, 3600.0))->capture_default_str();
  verb->add_option("--count", options->count, "Looks until it ends; 0: no end")->check(CLI::Range(0, 1 << 30))->capture_default_str();
  verb->footer(kTopExamples);
  verb->callback([options, &chosen] { chosen = on_rank_zero([options] { return run_top(*options); }); });
}

void add_render(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<RenderOptions>();
  CLI::App* verb = app.add_subcommand("render", "Turn a chat request (JSON on stdin) into the exact prompt text");
  add_config(verb, options->config, options->sets);
  verb->add_option("--template", options->template_file, "A Jinja chat template to use instead of the model's; CONFIG may be left out then")
      ->type_name("FILE");
  verb->add_option("--bos", options->bos, "bos_token of --template");
  verb->add_option("--eos", options->eos, "eos_token of --template");
  verb->add_option("--now", options->now, "The time that strftime_now sees, like 2025-03-14T09:26:53");
  verb->add_flag("--ids", options->ids, "Print the prompt's token ids (a JSON list) instead of its text");
  verb->add_flag("--jsonl", options->json_lines, "One request a line; one JSON string, list or {\"error\"} a line");
  verb->footer(kRenderExamples);
  verb->callback([options, &chosen] { chosen = on_rank_zero([options] { return render(*options); }); });
}

void add_tokenize(CLI::App& app, Command& chosen) {
  struct Given {
    std::string config;
    std::vector<std::string> sets;
    TokenizeOptions options;
  };
  auto given = std::make_shared<Given>();
  CLI::App* verb = app.add_subcommand("tokenize", "Turn text on stdin into token ids (a JSON list), or back");
  add_config(verb, given->config, given->sets)->required();
  verb->add_flag("--jsonl", given->options.jsonl, "One JSON string a line in, one list a line out; {\"error\"} for a line that is wrong");
  verb->add_flag("--decode", given->options.decode, "Ids in, text out");
  verb->add_flag("--no-special", given->options.no_special, "The text of special tokens is plain text; with --decode they are left out");
  verb->add_flag("--no-bos", given->options.no_bos, "No BOS even where the model wants one");
  verb->footer(kTokenizeExamples);
  verb->callback([given, &chosen] {
    chosen = on_rank_zero([given] {
      given->options.model_path = model_file_of(load_config(given->config, given->sets).config, "tokenize");
      return run_tokenize(given->options, std::cin, std::cout);
    });
  });
}

void add_inspect(CLI::App& app, Command& chosen) {
  auto config = std::make_shared<std::string>();
  auto sets = std::make_shared<std::vector<std::string>>();
  CLI::App* verb = app.add_subcommand("inspect", "Report what a model file holds: shapes, bytes, formats, tokenizer, template");
  add_config(verb, *config, *sets)->required();
  verb->footer("Examples:\n  terrace inspect model.gguf\n  terrace inspect configs/smollm2.yaml");
  verb->callback([config, sets, &chosen] { chosen = on_rank_zero([config, sets] { return inspect(*config, *sets); }); });
}

void print_error(const std::string& message) {
  if (early_rank() == 0) std::cerr << "terrace: error: " << message << std::endl;
}

/// The verb, or verb of a verb, that the command line names.
const CLI::App& chosen_verb(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? app : chosen_verb(*chosen.front());
}

/// "terrace bench serve".
std::string full_name(const CLI::App& verb) {
  return verb.get_parent() == nullptr ? verb.get_name() : fmt::format("{} {}", full_name(*verb.get_parent()), verb.get_name());
}

/// What the user may have meant by an unknown flag or verb, from those that exist.
std::string suggestion(const CLI::App& verb, const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  for (const CLI::App* below : verb.get_subcommands({})) names.push_back(below->get_name());
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  for (const std::string& argument : arguments) {
    const std::string text = did_you_mean(argument.substr(0, argument.find('=')), candidates);
    if (!text.empty()) return text;
  }
  return "";
}

int report_usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& verb = chosen_verb(app);
  std::string message = fmt::format("{}.", error.what());
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> extras = app.remaining(true);
    const std::string meant = suggestion(verb, extras);
    message = fmt::format("not expected: {}{}", fmt::join(extras, " "), meant.empty() ? "." : meant);
  }
  print_error(fmt::format("{} See {} --help", message, full_name(verb)));
  return kUsageExit;
}

int parse_and_run(CLI::App& app, Command& command, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return early_rank() == 0 ? app.exit(success) : 0;
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error);
  }
  return command();
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App app("terrace runs large language models, sharded over ranks: as threads of one process, or under mpirun.", "terrace");
  Command command;
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", version_text());
  app.footer(fmt::format("terrace VERB --help has the flags and examples of each.\n{}", kExitCodes));
  add_run(app, command);
  add_batch(app, command);
  add_serve(app, command);
  add_top(app, command);
  add_bench(app, command);
  add_render(app, command);
  add_tokenize(app, command);
  add_inspect(app, command);
  bool print_keys = false;
  app.add_flag("--config-keys", print_keys, "Print every configuration key with its values and default (docs/config.md)");
  app.callback([&] {
    if (print_keys) command = on_rank_zero([] { return write_stdout(config_reference()), 0; });
    if (!command) throw CLI::RequiredError("a verb such as run");
  });
  try {
    return parse_and_run(app, command, argc, argv);
  } catch (const Error& error) {
    print_error(error.what());
    return exit_code(error.code());
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
    return exit_code(ErrorCode::kOutOfMemory);
  } catch (const std::exception& error) {
    print_error(fmt::format("{} (this is a bug in terrace)", error.what()));
    return exit_code(ErrorCode::kInternal);
  }
}

}  // namespace terrace
