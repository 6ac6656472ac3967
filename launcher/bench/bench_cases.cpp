#include "launcher/bench/bench_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr int32_t kLargest = 1 << 24;

std::optional<int32_t> whole_number(std::string_view text, int32_t smallest) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < smallest || value > kLargest) return std::nullopt;
  return value;
}

}  // namespace

std::vector<int32_t> parse_lengths(std::string_view text, std::string_view option, int32_t smallest) {
  std::vector<int32_t> lengths;
  if (text == "none") return lengths;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::optional<int32_t> value = whole_number(text.substr(begin, comma - begin), smallest);
    if (!value) {
      throw Error(ErrorCode::kInvalidValue,
                  fmt::format("{}: expected whole numbers from {} with commas between, like 512,2048, or none; found '{}'", option, smallest, text));
    }
    lengths.push_back(*value);
    begin = comma + 1;
  }
  return lengths;
}

BatchShape parse_batch_shape(std::string_view text) {
  const size_t plus = std::min(text.find('+'), text.size());
  const std::optional<int32_t> prompt = whole_number(text.substr(0, plus), 1);
  const std::optional<int32_t> generated = whole_number(text.substr(std::min(plus + 1, text.size())), 1);
  if (!prompt || !generated) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("--batch-shape: expected prompt and generated tokens like 128+128, found '{}'", text));
  }
  return {*prompt, *generated};
}

std::vector<BenchJob> bench_jobs(const BenchCases& cases) {
  std::vector<BenchJob> jobs;
  for (const int32_t prompt : cases.prompts) jobs.push_back({BenchKind::kPrefill, 1, prompt, 1, 0});
  for (const int32_t depth : cases.depths) jobs.push_back({BenchKind::kDecode, 1, std::max(depth, 1), cases.decode + 1, depth});
  for (const int32_t sequences : cases.batches) {
    jobs.push_back({BenchKind::kBatch, sequences, cases.batch_shape.prompt, cases.batch_shape.generated, 0});
  }
  return jobs;
}

std::string job_name(const BenchJob& job) {
  switch (job.kind) {
    case BenchKind::kPrefill: return fmt::format("prefill {}", job.prompt);
    case BenchKind::kDecode: return fmt::format("decode {} at {}", job.generated - 1, job.depth);
    case BenchKind::kBatch: return fmt::format("batch {} of {}+{}", job.sequences, job.prompt, job.generated);
  }
  return "";
}

std::vector<BenchSetup> bench_setups(const std::vector<int32_t>& ranks, const std::vector<int32_t>& threads, const BenchSetup& configured) {
  std::vector<BenchSetup> setups;
  for (const int32_t num_ranks : ranks.empty() ? std::vector{configured.ranks} : ranks) {
    for (const int32_t num_threads : threads.empty() ? std::vector{configured.threads} : threads) setups.push_back({num_ranks, num_threads});
  }
  return setups;
}

std::string setup_name(const BenchSetup& setup) {
  const std::string threads = setup.threads == 0 ? "auto threads" : fmt::format("{} thread{}", setup.threads, setup.threads == 1 ? "" : "s");
  return fmt::format("{} rank{} x {}", setup.ranks, setup.ranks == 1 ? "" : "s", threads);
}

std::string why_skipped(const BenchSetup& setup, int cores) {
  if (setup.threads <= 1 || int64_t{setup.ranks} * setup.threads <= cores) return "";
  return fmt::format("this host has {} core{}", cores, cores == 1 ? "" : "s");
}

std::string why_skipped(const BenchJob& job, const BenchRoom& room) {
  const int64_t tokens = int64_t{job.prompt} + job.generated;
  if (tokens > room.context_length) {
    return fmt::format("{} tokens and {} generated exceed the model's context of {}", job.prompt, job.generated, room.context_length);
  }
  if (job.sequences > room.max_sequences) {
    return fmt::format("scheduler.max_sequences is {}; --set scheduler.max_sequences={}", room.max_sequences, job.sequences);
  }
  // The last token's K and V are never needed.
  const int64_t pages = (tokens - 1 + room.page_tokens - 1) / room.page_tokens * job.sequences;
  if (pages > room.num_frames) {
    return fmt::format("it needs {} KV pages and the pool has {}: raise cache.device", pages, room.num_frames);
  }
  return "";
}

}  // namespace terrace
