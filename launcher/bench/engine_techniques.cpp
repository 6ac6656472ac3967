#include "launcher/bench/engine_techniques.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "runtime/cache/frame_pool.h"

namespace terrace {
namespace {

std::string times(double ratio) { return fmt::format("{}x", short_number(ratio)); }

/// Seconds to run groups one after another, each group submitted together.
std::optional<double> run_groups(EngineTimer& timer, const std::vector<std::vector<BatchShape>>& groups) {
  double seconds = 0;
  for (const auto& group : groups) {
    const std::optional<JobTiming> timing = timer.run(group);
    if (!timing) return std::nullopt;
    seconds += timing->seconds;
  }
  return seconds;
}

/// Groups of `size` whose members all have the longest prompt and the longest answer of the group, as a static batch computes them.
std::vector<std::vector<BatchShape>> padded_groups(const std::vector<BatchShape>& requests, size_t size) {
  std::vector<std::vector<BatchShape>> groups;
  for (size_t begin = 0; begin < requests.size(); begin += size) {
    const size_t end = std::min(begin + size, requests.size());
    BatchShape longest = {1, 1};
    for (size_t i = begin; i < end; ++i) {
      longest.prompt = std::max(longest.prompt, requests[i].prompt);
      longest.generated = std::max(longest.generated, requests[i].generated);
    }
    groups.emplace_back(end - begin, longest);
  }
  return groups;
}

/// Sequences of `lengths`, again and again, that hold pages of the pool at the same time; and the tokens in them.
std::pair<int64_t, int64_t> fill_pool(int32_t num_frames, int32_t page_tokens, const std::vector<int32_t>& lengths) {
  FramePool pool(num_frames);
  int64_t sequences = 0, tokens = 0;
  for (;; ++sequences) {
    const int32_t length = lengths[static_cast<size_t>(sequences) % lengths.size()];
    const int32_t pages = (length + page_tokens - 1) / page_tokens;
    if (pages > pool.num_free()) return {sequences, tokens};
    for (int32_t page = 0; page < pages; ++page) pool.allocate();
    tokens += length;
  }
}

}  // namespace

TokenTimes measure_token_times(EngineTimer& timer, const BenchRoom& room, const std::vector<int32_t>& lengths, int32_t generated) {
  TokenTimes result;
  for (const int32_t length : lengths) {
    const BenchJob job = {BenchKind::kDecode, 1, length, generated + 1, length};
    if (!why_skipped(job, room).empty()) continue;
    std::array<double, 3> seconds = {};
    for (double& value : seconds) {
      const std::optional<JobTiming> timing = timer.run(job);
      if (!timing) return result;
      value = timing->seconds - timing->prompt_seconds;
    }
    std::ranges::sort(seconds);
    result.emplace_back(length, 1000 * seconds[1] / generated);
  }
  return result;
}

TechniqueResult compare_cache(const TokenTimes& cached, const TokenTimes& uncached) {
  TechniqueResult result = {.name = "KV cache",
                            .claim = "3-10x (tutorials on generating text)",
                            .measured = "",
                            .table = TextTable({"tokens before", "ms/token with the cache", "without", "ratio"}),
                            .note = "One more token after so many. Without the cache (cache.enabled: false) each token computes the whole sequence anew."};
  for (size_t i = 0; i < std::min(cached.size(), uncached.size()); ++i) {
    const double ratio = uncached[i].second / cached[i].second;
    result.table.add({whole_number(cached[i].first), short_number(cached[i].second), short_number(uncached[i].second), times(ratio)});
    result.measured += fmt::format("{}{} at {}", i > 0 ? ", " : "", times(ratio), cached[i].first);
  }
  return result;
}

Plot plot_cache(const TokenTimes& cached, const TokenTimes& uncached) {
  Plot plot = {.title = "One more token, with and without the KV cache", .x_name = "tokens before", .y_name = "ms", .lines = {}};
  for (const auto& [name, colour, token_times] : {std::tuple("without", "crimson", &uncached), std::tuple("with the cache", "steelblue", &cached)}) {
    PlotLine line = {name, colour, {}};
    for (const auto& [length, milliseconds] : *token_times) line.points.emplace_back(length, milliseconds);
    plot.lines.push_back(std::move(line));
  }
  return plot;
}

std::vector<BatchShape> mixed_requests(int32_t count) {
  std::minstd_rand random(4);
  const auto between = [&](uint32_t low, uint32_t high) { return static_cast<int32_t>(low + random() % (high - low + 1)); };
  std::vector<BatchShape> requests;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t prompt = between(8, 64);
    requests.push_back({prompt, between(8, 128)});
  }
  return requests;
}

std::optional<TechniqueResult> compare_batching(EngineTimer& timer, const std::vector<BatchShape>& requests, int32_t slots) {
  int64_t tokens = 0;
  std::vector<std::vector<BatchShape>> alone;
  for (const BatchShape& request : requests) tokens += request.generated, alone.push_back({request});
  const std::optional<double> one_by_one = run_groups(timer, alone);
  const std::optional<double> in_batches = one_by_one ? run_groups(timer, padded_groups(requests, static_cast<size_t>(slots))) : std::nullopt;
  const std::optional<double> continuous = in_batches ? run_groups(timer, {requests}) : std::nullopt;
  if (!continuous) return std::nullopt;
  TechniqueResult result = {
      .name = "continuous batching",
      .claim = "10-20x one at a time, 2x static batches (serving papers, on GPUs)",
      .measured = fmt::format("{} one at a time, {} static batches", times(*one_by_one / *continuous), times(*in_batches / *continuous)),
      .table = TextTable({"way", "s", "generated tok/s"}),
      .note = fmt::format("{} requests of 8-64 + 8-128 tokens, mixed, at most {} at a time. Static: batches of {} that start together, are padded to their "
                          "longest prompt and answer, and end together; only what was asked for counts.",
                          requests.size(), slots, slots)};
  for (const auto& [name, seconds] : {std::pair("one at a time", *one_by_one), {"static batches", *in_batches}, {"continuous", *continuous}}) {
    result.table.add({name, short_number(seconds), short_number(static_cast<double>(tokens) / seconds)});
  }
  return result;
}

TechniqueResult compare_paging(int32_t num_frames, const PageLayout& layout, int32_t reserved_tokens) {
  const int64_t pool_tokens = int64_t{num_frames} * layout.page_tokens;
  const int64_t reserved = pool_tokens / reserved_tokens;
  TechniqueResult result = {
      .name = "paged KV cache",
      .claim = "2-4x the sequences or more; below 4 % waste against 60-80 % (the paper on paged attention)",
      .measured = "",
      .table = TextTable({"tokens of each", "sequences, paged", "slots unused", "each reserving the context", "slots unused", "ratio"}),
      .note = fmt::format("The engine's own accounting, in this configuration's pool of {} pages of {} tokens; a contiguous reservation takes the context of {} "
                          "tokens, whatever the sequence turns out to need.",
                          num_frames, layout.page_tokens, reserved_tokens)};
  const auto unused = [&](int64_t tokens, int64_t taken) { return fmt::format("{:.1f} %", 100 * (1 - static_cast<double>(tokens) / static_cast<double>(taken))); };
  const std::vector<int32_t> mixed = {100, 1900, 30, 700, 300, 60, 4000, 150};  // most short, a few long
  const std::vector<std::pair<std::string, std::vector<int32_t>>> kinds = {{"100", {100}}, {"1,000", {1000}}, {"30 to 4,000, mixed", mixed}};
  for (const auto& [name, lengths] : kinds) {
    if (std::ranges::max(lengths) > reserved_tokens || reserved == 0) continue;
    const auto [sequences, tokens] = fill_pool(num_frames, layout.page_tokens, lengths);
    int64_t reserved_used = 0, paged_slots = 0;
    for (int64_t i = 0; i < reserved; ++i) reserved_used += lengths[static_cast<size_t>(i) % lengths.size()];
    for (int64_t i = 0; i < sequences; ++i) {
      paged_slots += (lengths[static_cast<size_t>(i) % lengths.size()] + layout.page_tokens - 1) / layout.page_tokens * layout.page_tokens;
    }
    if (sequences == 0) continue;
    const double ratio = static_cast<double>(sequences) / static_cast<double>(reserved);
    result.table.add({name, whole_number(sequences), unused(tokens, paged_slots), whole_number(reserved),
                      unused(reserved_used, reserved * reserved_tokens), times(ratio)});
    result.measured = fmt::format("{} the sequences of mixed lengths, {} unused", times(ratio), unused(tokens, paged_slots));
  }
  return result;
}

}  // namespace terrace
