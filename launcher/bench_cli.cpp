#include "launcher/bench_cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/bench_command.h"
#include "launcher/cache_command.h"
#include "launcher/serve_bench_command.h"
#include "launcher/techniques_command.h"
#include "runtime/cache/retention.h"

namespace terrace {
namespace {

constexpr const char* kBenchExamples = R"(Examples:
  terrace bench configs/smollm2.yaml
  terrace bench techniques configs/smollm2.yaml --plot techniques.svg
  terrace bench cache --trace requests.jsonl --pages 1000,5000
  terrace bench serve http://127.0.0.1:8000 --concurrency 16
  terrace bench model.gguf --prompt 512 --depth 0,2048,8000 --batch none --repeat 5
  terrace bench model.gguf --ranks 1,2 --threads 1,2 --depth 0 --batch 32
  mpirun -n 2 terrace bench configs/smollm2.yaml --prompt none --depth 0 --batch 32 --format json
Random token ids, greedy, no end tokens. A rate is the median of the repeats, with the smallest and the largest beside it; `bound` is what the
machine, measured before and after, would allow at most (docs/performance.md).)";

constexpr const char* kServeBenchExamples = R"(Examples:
  terrace bench serve http://127.0.0.1:8000 --concurrency 64 --requests 64 --input-tokens 200 --shared-prefix 128 --output-tokens 64 --ignore-eos
  terrace bench serve https://gpu.example/v1 --rate 4 --duration 60 --ttft-target 500 --itl-target 50 --json
  terrace bench serve http://127.0.0.1:8000 --dataset requests.jsonl --concurrency 8
  terrace bench serve http://127.0.0.1:8000 --trace conversation_trace.jsonl --speed 2 --requests 500
Every request is streamed, over a connection of its own. Times count from when a request was due, so that a server that falls behind cannot hide it;
terms are as in docs/performance.md.)";

void add_lengths(CLI::App* verb, const std::string& name, std::vector<int32_t>& lengths, int32_t smallest, const std::string& help) {
  verb->add_option_function<std::string>(name, [name, smallest, &lengths](const std::string& text) { lengths = parse_lengths(text, name, smallest); },
                                         help + ", with commas between; or none")
      ->type_name("LIST")
      ->default_str(fmt::format("{}", fmt::join(lengths, ",")));
}

void add_techniques(CLI::App* bench, Command& chosen) {
  auto options = std::make_shared<TechniquesOptions>();
  CLI::App* verb = bench->add_subcommand("techniques", "Measure what the techniques inside are worth, beside what is usually claimed for them");
  add_config(verb, options->config, options->sets)->required();
  verb->add_option("--only", options->only, "These alone, with commas between")->delimiter(',')->allow_extra_args(false)->check(CLI::IsMember(technique_names()));
  verb->add_option("--plot", options->plot, "An SVG of the time of a token with and without the KV cache")->type_name("FILE");
  verb->add_flag("--quick", options->quick, "Small numbers: a look at the form, no result");
  verb->add_flag("--markdown", options->markdown, "Tables as Markdown");
  add_progress(verb, options->progress);
  verb->footer("Examples:\n  terrace bench techniques configs/smollm2.yaml --plot techniques.svg");
  verb->callback([options, &chosen] { chosen = [options] { return run_techniques(*options); }; });
}

void add_cache(CLI::App* bench, Command& chosen) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* verb = bench->add_subcommand("cache", "Play recorded prompts through a tier of the KV cache: hits by retention policy, beside the most there can be");
  verb->add_option("--trace", options->trace, "JSON lines with hash_ids, one id a page of the prompt (Mooncake's traces have this form)")
      ->required()
      ->type_name("FILE");
  add_lengths(verb, "--pages", options->pages, 1, "Sizes of the tier, pages");
  verb->add_option("--policy", options->policies, "These alone, with commas between")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(retention_policy_names()));
  verb->add_flag_callback("--json", [options] { options->format = CacheReportFormat::kJson; }, "The numbers of pages found, as one JSON object");
  verb->add_flag_callback("--markdown", [options] { options->format = CacheReportFormat::kMarkdown; }, "The table as Markdown");
  add_progress(verb, options->progress);
  verb->footer("Examples:\n  terrace bench cache --trace conversation_trace.jsonl --pages 1000,5000\n"
               "The bound is Belady's: no policy finds more, even one that knows the future (docs/performance.md).");
  verb->callback([options, &chosen] { chosen = on_rank_zero([options] { return run_cache_simulation(*options); }); });
}

void add_load_source(CLI::App* verb, ServeBenchOptions& options) {
  const auto dataset = verb->add_option("--dataset", options.dataset, "JSON lines: bodies with prompt or messages, or lines of an OpenAI batch file")->type_name("FILE");
  const auto trace = verb->add_option("--trace", options.trace, "JSON lines with timestamp (ms), input_length, output_length and hash_ids (Mooncake's form)")
                         ->type_name("FILE")
                         ->excludes(dataset);
  verb->add_option("--trace-page", options.trace_page, "Tokens that a hash id stands for")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  verb->add_option("--speed", options.speed, "A trace's times, so many times as fast")->check(CLI::Range(1e-6, 1e6))->capture_default_str();
  SyntheticLengths& lengths = options.lengths;
  const auto add_range = [&](const char* flag, int32_t& from, int32_t& to, const char* help) {
    verb->add_option_function<std::string>(flag, [flag, &from, &to](const std::string& text) { parse_length_range(text, flag, from, to); }, help)
        ->type_name("N or N-M")
        ->default_str(fmt::format("{}", from))
        ->excludes(dataset)
        ->excludes(trace);
  };
  add_range("--input-tokens", lengths.input_from, lengths.input_to, "Synthetic prompts, of so many tokens as most vocabularies have it");
  add_range("--output-tokens", lengths.output_from, lengths.output_to, "Their max_tokens");
  verb->add_option("--shared-prefix", lengths.shared_prefix, "Tokens of them that all begin with")->check(CLI::Range(0, 1 << 24))->capture_default_str();
  verb->add_flag("--chat", lengths.chat, "Ask /v1/chat/completions (synthetic prompts and traces; else /v1/completions)");
  verb->add_flag("--ignore-eos", options.ignore_eos, "Ask for all of max_tokens (ignore_eos: vLLM, llama.cpp and terrace know it, OpenAI does not)");
  verb->add_option("--body", options.extra_body, "Members for every request, such as {\"temperature\": 0}")->type_name("JSON");
  verb->add_option("--model", options.model, "The model asked for (default: the first that the server lists)");
}

void add_load_plan(CLI::App* verb, ServeBenchOptions& options) {
  LoadPlan& plan = options.plan;
  const auto concurrency = verb->add_option("--concurrency", plan.concurrency, "So many clients, each with one request at a time")->check(CLI::Range(1, 1 << 16));
  verb->add_option("--rate", plan.rate, "Requests a second, at random (Poisson), whatever becomes of them")->check(CLI::Range(1e-6, 1e6))->excludes(concurrency);
  verb->add_option("--requests", plan.requests, "So many (default: all of a file, 100 of synthetic ones, no bound with --duration)")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--duration", plan.seconds, "Begin no more requests after so many seconds")->check(CLI::Range(0.001, 1e9));
  verb->add_option("--seed", plan.seed, "Of prompts and arrivals")->capture_default_str();
  verb->add_option("--timeout", options.timeout_seconds, "Seconds after which a request has failed")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  verb->add_option_function<double>("--ttft-target", [&options](double ms) { options.target.time_to_first = ms / 1000; },
                                    "Goodput: requests whose first text came within so many ms of when they were due")
      ->check(CLI::PositiveNumber);
  verb->add_option_function<double>("--itl-target", [&options](double ms) { options.target.time_per_token = ms / 1000; },
                                    "Goodput: requests whose tokens after the first took so many ms each, on average")
      ->check(CLI::PositiveNumber);
}

void add_serve_bench(CLI::App* bench, Command& chosen) {
  auto options = std::make_shared<ServeBenchOptions>();
  CLI::App* verb = bench->add_subcommand("serve", "Load a server that speaks OpenAI's API, and report what its clients see");
  verb->add_option("URL", options->url, "Where it is, with or without /v1")->required();
  verb->add_option("--api-key", options->api_key, "Sent as a bearer token")->envname("TERRACE_API_KEY");
  add_load_plan(verb, *options);
  add_load_source(verb, *options);
  verb->add_flag_callback("--json", [options] { options->format = LoadReportFormat::kJson; }, "The report as one JSON object");
  verb->add_flag_callback("--markdown", [options] { options->format = LoadReportFormat::kMarkdown; }, "The tables as Markdown");
  add_progress(verb, options->progress);
  verb->footer(kServeBenchExamples);
  verb->callback([options, &chosen] {
    options->lengths.seed = options->plan.seed;
    chosen = on_rank_zero([options] { return run_serve_bench(*options); });
  });
}

}  // namespace

void add_bench(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* verb = app.add_subcommand("bench", "Measure speed, beside what this machine allows at most");
  add_techniques(verb, chosen);
  add_cache(verb, chosen);
  add_serve_bench(verb, chosen);
  const CLI::Option* config = add_config(verb, options->config, options->sets);
  BenchCases& cases = options->cases;
  add_lengths(verb, "--prompt", cases.prompts, 1, "Prompts to prefill, tokens");
  verb->add_option("--decode", cases.decode, "Tokens to generate at each depth")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  add_lengths(verb, "--depth", cases.depths, 0, "Tokens before those");
  add_lengths(verb, "--batch", cases.batches, 1, "Sequences submitted together");
  verb->add_option_function<std::string>("--batch-shape", [&cases](const std::string& text) { cases.batch_shape = parse_batch_shape(text); },
                                         "Prompt and generated tokens of each of those")
      ->type_name("IN+OUT")
      ->default_str("128+128");
  add_lengths(verb, "--ranks", options->ranks, 1, "A sweep: ranks, as threads of one process");
  add_lengths(verb, "--threads", options->threads, 1, "A sweep: threads of each rank");
  verb->add_option("--repeat", options->repeat, "Times that each is measured")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_option_function<std::string>("--format", [options](const std::string& name) { options->format = *bench_format_from_name(name); },
                                         "table, json or markdown")
      ->check(CLI::IsMember({"table", "json", "markdown"}));
  add_progress(verb, options->progress);
  verb->footer(kBenchExamples);
  verb->callback([options, verb, config, &chosen] {
    if (!verb->get_subcommands().empty()) return;
    if (config->empty()) throw CLI::RequiredError("CONFIG");
    chosen = [options] { return run_bench(*options); };
  });
}

}  // namespace terrace
