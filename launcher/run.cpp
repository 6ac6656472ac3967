#include "launcher/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <random>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/answer.h"
#include "launcher/cache_summary.h"
#include "launcher/config_file.h"
#include "launcher/explain.h"
#include "launcher/session_options.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"
#include "runtime/session.h"
#include "runtime/text/chat_prompt.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::string read_prompt(const RunOptions& options) {
  if (options.prompt) return *options.prompt;
  if (stdin_is_terminal()) throw Error(ErrorCode::kInvalidValue, "no prompt: give one with -p \"text\", or pipe it in");
  return read_stdin();
}

std::string render_chat(const Session& session, const RunOptions& options, const std::string& prompt) {
  if (session.chat_template() == nullptr) {
    throw Error(ErrorCode::kInvalidValue, "this model carries no chat template; --raw gives it the prompt as it is");
  }
  json::array messages;
  if (!options.system.empty()) messages.push_back({{"role", "system"}, {"content", options.system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return session.chat_template()->render({{"messages", messages}, {"add_generation_prompt", true}}, std::time(nullptr));
}

std::vector<int32_t> prompt_tokens(const Session& session, const RunOptions& options, const std::string& prompt) {
  const Tokenizer* tokenizer = session.tokenizer();
  if (tokenizer != nullptr) {
    return options.raw ? tokenizer->encode(prompt) : encode_chat_prompt(*tokenizer, render_chat(session, options, prompt));
  }
  std::vector<int32_t> ids;  // a dummy model has no tokenizer: its bytes stand for ids
  for (const char c : prompt) ids.push_back(static_cast<unsigned char>(c) % session.model().vocab_size);
  return ids;
}

Request make_request(Session& session, const Config& config, const RunOptions& options, const std::string& prompt) {
  Request request;
  request.prompt = prompt_tokens(session, options, prompt);
  if (request.prompt.empty()) throw Error(ErrorCode::kInvalidValue, "the prompt is empty");
  const int32_t room = session.engine().max_sequence_tokens() - static_cast<int32_t>(request.prompt.size());
  request.max_tokens = room > 0 ? std::min(options.max_tokens, room) : options.max_tokens;  // without room the engine says why
  request.sampling.temperature = static_cast<float>(options.temperature);
  request.sampling.top_p = static_cast<float>(options.top_p.value_or(config.sampling.top_p));
  request.sampling.top_k = options.top_k.value_or(config.sampling.top_k);
  request.sampling.min_p = static_cast<float>(options.min_p.value_or(config.sampling.min_p));
  request.sampling.seed = options.seed ? *options.seed : std::random_device{}();
  if (session.tokenizer() != nullptr && !options.ignore_eos) request.stop_tokens = session.tokenizer()->end_tokens();
  return request;
}

/// Rank 0's part once the model is loaded. Returns the exit code.
int answer(Session& session, const Config& config, const RunOptions& options, const std::string& prompt, const SignalWatch& signals,
           Progress& progress) {
  Request request = make_request(session, config, options, prompt);
  const uint64_t seed = request.sampling.seed;
  bool open_line = false;
  Answer answer(session.engine(), session.tokenizer(),
                {.stop = options.stop,
                 .write =
                     [&](std::string_view text) {
                       progress.clear();
                       write_stdout(text);
                       open_line = text.back() != '\n';
                     },
                 .interrupted = [&] { return signals.received() != 0; },
                 .on_prefill =
                     [&](size_t done, size_t total) {
                       progress.update(static_cast<double>(done) / static_cast<double>(total),
                                       fmt::format("reading the prompt, {}/{} tokens", done, total));
                     }});
  answer.stream(std::move(request));
  if (signals.received() == 0) session.engine().write_out();  // for the next run's prompt
  const EngineStats stats = session.engine().stats();
  session.engine().stop();
  progress.clear();
  if (open_line) write_stdout("\n");  // mpirun would add it to the last line; this way the bytes are the same without
  if (progress.enabled()) log_info(answer.summary() + (options.temperature > 0 ? fmt::format(", seed {}", seed) : ""));
  if (progress.enabled() && session.memory().num_host_frames > 0) {
    log_info(cache_summary(stats));
  } else if (progress.enabled() && stats.reading.pages_seen > 0) {
    log_info(reading_summary(stats.reading));
  }
  return signals.exit_code();
}

/// In a group of ranks, since mpirun alone knows how many there are and how many of them are here.
int explain(const LoadedConfig& loaded) {
  return run_ranks(group_options(loaded.config), [&](RankGroup& group) {
    if (group.rank != 0) return 0;
    write_stdout(explain_config(loaded) + "\n");
    write_stdout(explain_memory(loaded.config, group.size, group.local_size));
    return 0;
  });
}

}  // namespace

int run(const RunOptions& options) {
  const LoadedConfig loaded = load_config(options.config, options.sets);
  const Config& config = loaded.config;
  if (options.explain) return explain(loaded);
  const SignalWatch signals;
  return run_ranks(group_options(config), [&](RankGroup& group) {
    const std::string prompt = group.rank == 0 ? read_prompt(options) : "";
    Progress progress(options.progress);
    Session session(config, group, session_options(options.progress, group.rank, progress));
    progress.clear();
    if (group.rank == 0) return answer(session, config, options, prompt, signals, progress);
    session.follow();
    return 0;
  });
}

}  // namespace terrace
