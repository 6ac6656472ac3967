#include "launcher/batch_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/batch/batch_runner.h"
#include "launcher/cache_summary.h"
#include "launcher/config_file.h"
#include "launcher/session_options.h"
#include "launcher/signals.h"

namespace terrace {
namespace {

// Rank 0's files, opened before the model is loaded so that what is wrong with them is said at once.
struct BatchFiles {
  explicit BatchFiles(const BatchOptions& options) : input(options.input), output(options.output, options.retry_errors) {}

  bool all_done() const {
    return std::ranges::all_of(input.lines(), [&](const BatchLine& line) { return output.is_done(line.custom_id); });
  }

  BatchInput input;
  BatchOutput output;
};

std::string summary_text(const BatchSummary& summary) {
  if (summary.num_skipped == summary.num_lines) return fmt::format("{} lines: all done before", summary.num_lines);
  const double seconds = std::max(summary.seconds, 1e-3);
  return fmt::format("{} lines: {} done now, {} failed, {} done before; {} tokens in ({:.1f} tok/s), {} out ({:.1f} tok/s), {}", summary.num_lines,
                     summary.num_written, summary.num_failed, summary.num_skipped, summary.prompt_tokens,
                     static_cast<double>(summary.prompt_tokens) / seconds, summary.completion_tokens,
                     static_cast<double>(summary.completion_tokens) / seconds, format_duration(summary.seconds));
}

void report(const BatchOptions& options, const BatchSummary& summary) {
  if (options.progress != ProgressMode::kNone) log_info(summary_text(summary));
  if (summary.num_failed > 0) {
    log_warning(fmt::format("{} of {} lines failed: see their status_code and error in {} (--retry-errors does them again)", summary.num_failed,
                            summary.num_lines, options.output));
  }
  if (summary.interrupted) {
    log_warning(fmt::format("stopped after {} of {} lines; they stand in {}. The same command goes on from there.",
                            summary.num_written + summary.num_skipped, summary.num_lines, options.output));
  }
}

BatchRunner::Options runner_options(Session& session, const Config& config, const BatchOptions& options, const SignalWatch& signals) {
  if (session.tokenizer() == nullptr) throw Error(ErrorCode::kInvalidValue, "a dummy model has no tokenizer: terrace batch needs a model file");
  BatchRunner::Options result;
  result.context.tokenizer = session.tokenizer();
  result.context.chat_template = session.chat_template();
  result.context.defaults = config.sampling;
  result.context.pooling = default_pooling(config.embeddings, session.model());
  result.context.hidden_size = session.model().hidden_size;
  // What a chat may fill by default; a stream's end is for the request to say.
  result.context.max_sequence_tokens = std::min(session.engine().max_sequence_tokens(), session.model().context_length);
  result.context.now_unix = std::time(nullptr);
  result.model_name = session.model().name.empty() ? std::filesystem::path(config.model.path).stem().string() : session.model().name;
  result.max_in_flight = options.max_in_flight > 0 ? options.max_in_flight : 2 * config.scheduler.max_sequences;
  result.signal = &signals.received();
  return result;
}

void sort_output(BatchFiles& files) {
  std::vector<std::string> ids;
  for (const BatchLine& line : files.input.lines()) ids.push_back(line.custom_id);
  files.output.sort(ids);
}

// True on every rank when rank 0's files leave something to do; other ranks wait here, before they load anything.
bool open_files(RankGroup& group, const BatchOptions& options, std::optional<BatchFiles>& files) {
  Bytes work(1);
  if (group.rank == 0) {
    files.emplace(options);
    work[0] = std::byte{static_cast<unsigned char>(files->all_done() ? 0 : 1)};
    if (files->output.repaired_bytes() > 0) {
      log_warning(fmt::format("{} ended in the middle of a line: {} bytes cut off", options.output, files->output.repaired_bytes()));
    }
  }
  group.control->broadcast(work);
  return work.at(0) != std::byte{0};
}

BatchSummary run_lines(Session& session, const Config& config, const BatchOptions& options, const SignalWatch& signals, BatchFiles& files,
                       Progress& progress) {
  BatchRunner::Options runner_with = runner_options(session, config, options, signals);
  GrammarCompiler grammars(*session.tokenizer());
  runner_with.context.grammars = &grammars;
  EngineRunner engine(session.engine());
  BatchRunner runner(engine, files.input, files.output, runner_with);
  const BatchSummary summary = runner.run(progress);
  if (!summary.interrupted) session.engine().write_out();
  const EngineStats stats = session.engine().stats();
  session.engine().stop();
  progress.clear();
  if (options.progress != ProgressMode::kNone) log_info(cache_summary(stats));
  return summary;
}

}  // namespace

int run_batch(const BatchOptions& options) {
  const LoadedConfig loaded = load_config(options.config, options.sets);
  const Config& config = loaded.config;
  const SignalWatch signals;
  return run_ranks(group_options(config), [&](RankGroup& group) {
    std::optional<BatchFiles> files;  // rank 0
    BatchSummary summary;
    if (open_files(group, options, files)) {
      Progress progress(options.progress);
      Session session(config, group, session_options(options.progress, group.rank, progress));
      progress.clear();
      if (group.rank != 0) return session.follow(), 0;
      summary = run_lines(session, config, options, signals, *files, progress);
    } else if (group.rank == 0) {
      summary.num_lines = summary.num_skipped = static_cast<int64_t>(files->input.lines().size());
    }
    if (group.rank != 0) return 0;
    if (options.input_order && !summary.interrupted) sort_output(*files);
    report(options, summary);
    return summary.interrupted ? signals.exit_code() : 0;
  });
}

}  // namespace terrace
