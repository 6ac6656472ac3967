#include "launcher/cache_command.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "kernels/base/log.h"
#include "launcher/bench/cache_simulator.h"
#include "launcher/bench/text_table.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"

namespace terrace {
namespace {

namespace json = boost::json;

/// A tier of one size, played.
struct CacheResult {
  int32_t pages = 0;
  int64_t bound = 0;
  std::vector<int64_t> hits;  // by policy
};

/// Of what lies between LRU and the bound, the share that `hits` has won.
double share_of_gap(int64_t hits, int64_t lru, int64_t bound) {
  return bound > lru ? static_cast<double>(hits - lru) / static_cast<double>(bound - lru) : 0;
}

/// What has been played when a signal comes.
std::vector<CacheResult> play(const CacheTrace& trace, const CacheOptions& options,
                              const std::vector<std::string>& policies, const SignalWatch& signals) {
  Progress progress(options.progress);
  const auto num_plays = static_cast<double>(options.pages.size() * (policies.size() + 1));
  double played = 0;
  std::string what;
  const RowCallback after_row = [&](size_t num_rows) {
    if (num_rows % 256 == 0)
      progress.update((played + static_cast<double>(num_rows) / static_cast<double>(trace.rows.size())) / num_plays,
                      what);
    return signals.received() == 0;
  };
  std::vector<CacheResult> results;
  for (const int32_t pages : options.pages) {
    CacheResult result{pages, 0, {}};
    what = fmt::format("{} pages, the bound", whole_number(pages));
    std::optional<int64_t> hits = bound_hits(trace, pages, after_row);
    if (!hits) break;
    result.bound = *hits;
    for (const std::string& name : policies) {
      ++played;
      what = fmt::format("{} pages, {}", whole_number(pages), name);
      hits = count_hits(trace, pages, *make_retention_policy(name), after_row);
      if (!hits) break;
      result.hits.push_back(*hits);
    }
    ++played;
    if (!hits) break;
    results.push_back(std::move(result));
  }
  progress.clear();
  return results;
}

std::string to_table(const CacheTrace& trace, const std::vector<CacheResult>& results,
                     const std::vector<std::string>& policies, bool markdown) {
  std::vector<std::string> header = {"pages"};
  for (const std::string& name : policies) header.push_back(name);
  header.push_back("bound");
  const bool has_lru = policies.front() == "lru";
  for (size_t i = 1; has_lru && i < policies.size(); ++i)
    header.push_back(fmt::format("{}: of lru's gap", policies[i]));
  TextTable table(std::move(header), 0);
  const auto share = [&](int64_t hits) {
    return fmt::format("{:.4f}", static_cast<double>(hits) / static_cast<double>(trace.num_page_uses));
  };
  for (const CacheResult& result : results) {
    std::vector<std::string> cells = {whole_number(result.pages)};
    for (const int64_t hits : result.hits) cells.push_back(share(hits));
    cells.push_back(share(result.bound));
    for (size_t i = 1; has_lru && i < policies.size(); ++i) {
      cells.push_back(fmt::format("{:.0f} %", 100 * share_of_gap(result.hits[i], result.hits[0], result.bound)));
    }
    table.add(std::move(cells));
  }
  return fmt::format("{} prompts of {} pages, {} of them different: the share that is found\n\n{}",
                     whole_number(static_cast<int64_t>(trace.rows.size())), whole_number(trace.num_page_uses),
                     whole_number(static_cast<int64_t>(trace.parents.size())),
                     markdown ? table.markdown() : table.plain());
}

std::string to_json(const CacheTrace& trace, const std::vector<CacheResult>& results,
                    const std::vector<std::string>& policies) {
  json::array list;
  for (const CacheResult& result : results) {
    json::object hits;
    for (size_t i = 0; i < policies.size(); ++i) hits[policies[i]] = result.hits[i];
    list.push_back({{"pages", result.pages}, {"bound", result.bound}, {"hits", std::move(hits)}});
  }
  const json::object report = {{"prompts", trace.rows.size()},
                               {"page_uses", trace.num_page_uses},
                               {"distinct_pages", trace.parents.size()},
                               {"results", std::move(list)}};
  return json::serialize(report) + "\n";
}

}  // namespace

int run_cache_simulation(const CacheOptions& options) {
  const SignalWatch signals;
  const CacheTrace trace = read_cache_trace(options.trace);
  const std::vector<std::string>& policies = options.policies.empty() ? retention_policy_names() : options.policies;
  const std::vector<CacheResult> results = play(trace, options, policies, signals);
  if (signals.received() != 0) log_warning("interrupted: the report holds what was played until then");
  write_stdout(options.format == CacheReportFormat::kJson
                   ? to_json(trace, results, policies)
                   : to_table(trace, results, policies, options.format == CacheReportFormat::kMarkdown));
  return signals.exit_code();
}

}  // namespace terrace
