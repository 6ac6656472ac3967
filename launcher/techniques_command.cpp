#include "launcher/techniques_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <optional>

#include "comm/group.h"
#include "kernels/base/cpu_count.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/bench/engine_techniques.h"
#include "launcher/bench/kernel_techniques.h"
#include "launcher/config_file.h"
#include "launcher/session_options.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"
#include "runtime/session.h"

namespace terrace {
namespace {

constexpr int32_t kSlots = 16;  // sequences at a time, in every way of batching

/// How much is measured.
struct Sizes {
  std::vector<int32_t> cache_lengths;
  int32_t cached_tokens, uncached_tokens;  // generated at each length
  int32_t requests;
  std::vector<int32_t> prompt_lengths;
  int32_t head_depth;
};

const Sizes kFull = {{64, 256, 512, 1024}, 32, 2, 48, {1024, 2048, 4096, 8192, 16384}, 4096};
const Sizes kQuick = {{16, 32}, 2, 1, 4, {128, 256}, 128};

struct Findings {
  std::vector<TechniqueResult> results;
  TokenTimes cached, uncached;
  std::string heading;
};

bool wanted(const TechniquesOptions& options, std::initializer_list<const char*> names) {
  return options.only.empty() || std::ranges::any_of(names, [&](const char* name) { return std::ranges::find(options.only, name) != options.only.end(); });
}

/// A session of one rank. Returns the exit code of a rank that failed, which has said why, or 0.
int with_session(const Config& config, ProgressMode mode, const std::function<void(Session&)>& body) {
  return run_ranks({.local_ranks = 1, .pretend_hosts = 0, .spin = true}, [&](RankGroup& group) {
    Progress progress(mode);
    Session session(config, group, session_options(mode, group.rank, progress));
    progress.clear();
    body(session);
    session.engine().stop();
    return 0;
  });
}

/// All that needs the engine with its cache, then with none.
int measure_engine(Config config, const TechniquesOptions& options, const Sizes& sizes, const std::function<bool()>& interrupted, Findings& findings,
                   ModelConfig& model) {
  config.scheduler.max_sequences = kSlots;
  std::optional<TechniqueResult> batching, paging;
  int code = with_session(config, options.progress, [&](Session& session) {
    model = session.model();
    findings.heading = fmt::format("{}, {}", model_title(model), session.backend().describe());
    EngineTimer timer(session.engine(), model.vocab_size, interrupted);
    timer.run(BenchJob{BenchKind::kBatch, 1, 16, 4, 0});  // warm-up
    if (wanted(options, {"cache"})) findings.cached = measure_token_times(timer, room_of(session, config), sizes.cache_lengths, sizes.cached_tokens);
    if (wanted(options, {"batching"}) && !interrupted()) batching = compare_batching(timer, mixed_requests(sizes.requests), kSlots);
    if (wanted(options, {"paging"})) paging = compare_paging(session.memory().intervals_in(session.memory().num_frames), session.memory().layout, model.context_length);
  });
  if (code == 0 && !findings.cached.empty() && !interrupted()) {
    config.cache.enabled = false;
    code = with_session(config, options.progress, [&](Session& session) {
      EngineTimer timer(session.engine(), model.vocab_size, interrupted);
      timer.run(BenchJob{BenchKind::kBatch, 1, 16, 2, 0});
      findings.uncached = measure_token_times(timer, room_of(session, config), sizes.cache_lengths, sizes.uncached_tokens);
    });
    findings.results.push_back(compare_cache(findings.cached, findings.uncached));
  }
  if (batching) findings.results.push_back(*batching);
  if (paging) findings.results.push_back(*paging);
  return code;
}

std::string format_findings(const Findings& findings, bool markdown) {
  TextTable summary({"technique", "usually claimed", "measured here"}, 3);
  for (const TechniqueResult& result : findings.results) summary.add({result.name, result.claim, result.measured});
  const auto show = [markdown](const TextTable& table) { return markdown ? table.markdown() : table.plain(); };
  std::string text = fmt::format("{}\n\n{}", findings.heading, show(summary));
  for (const TechniqueResult& result : findings.results) {
    text += markdown ? fmt::format("\n### {}\n\n{}\n\n", result.name, result.note) : fmt::format("\n{}: {}\n\n", result.name, result.note);
    text += show(result.table);
  }
  return text;
}

void write_plot(const std::string& path, const Findings& findings) {
  std::ofstream file(path);
  file << to_svg(plot_cache(findings.cached, findings.uncached));
  file.close();
  if (!file) throw Error(ErrorCode::kIoError, fmt::format("the plot {} cannot be written", path));
}

}  // namespace

const std::vector<std::string>& technique_names() {
  static const std::vector<std::string> names = {"cache", "batching", "paging", "flash", "heads"};
  return names;
}

int run_techniques(const TechniquesOptions& options) {
  if (started_by_mpi()) throw Error(ErrorCode::kInvalidValue, "terrace bench techniques measures one rank: start it without mpirun");
  const Config config = load_config(options.config, options.sets).config;
  const SignalWatch signals;
  const auto interrupted = [&] { return signals.received() != 0; };
  const Sizes& sizes = options.quick ? kQuick : kFull;
  Findings findings;
  ModelConfig model;
  const int code = measure_engine(config, options, sizes, interrupted, findings, model);
  if (code != 0) return code;
  const int threads = config.parallel.threads > 0 ? config.parallel.threads : usable_cores();
  const KernelBench kernels = {.backend = {.num_threads = threads, .spin = true, .isa = {}}, .interrupted = interrupted};
  if (wanted(options, {"flash"}) && !interrupted()) findings.results.push_back(compare_flash(kernels, model, sizes.prompt_lengths));
  if (wanted(options, {"heads"}) && !interrupted()) findings.results.push_back(compare_heads(kernels, sizes.head_depth));
  if (interrupted()) log_warning("interrupted: the report holds what was measured until then");
  write_stdout(format_findings(findings, options.markdown));
  if (!options.plot.empty() && !findings.uncached.empty()) write_plot(options.plot, findings);
  return signals.exit_code();
}

}  // namespace terrace
