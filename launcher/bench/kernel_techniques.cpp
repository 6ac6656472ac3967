#include "launcher/bench/kernel_techniques.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>

#include "kernels/base/function_ref.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/materialised_attention.h"
#include "launcher/bench/attention_case.h"

namespace terrace {
namespace {

double seconds_of(FunctionRef<void()> work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median of an odd number of times, at least three for what is quick.
double median_seconds(FunctionRef<void()> work) {
  std::vector<double> seconds = {seconds_of(work)};
  const size_t count = seconds[0] > 1 ? 1 : seconds[0] > 0.05 ? 3 : 15;
  while (seconds.size() < count) seconds.push_back(seconds_of(work));
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

/// Memory of this process that is really there, in bytes.
size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t growth(size_t before) { return std::max(resident_bytes(), before) - before; }

struct Cost {
  double seconds = 0;
  size_t scratch = 0;  // bytes that the first run took beyond its inputs and outputs
};

Cost measure_tiled(const KernelBench& bench, const AttentionCase::Geometry& geometry) {
  const std::unique_ptr<Backend> backend = make_backend("cpu", bench.backend);
  AttentionCase attention(*backend, geometry);
  const size_t before = resident_bytes();
  Cost cost;
  cost.seconds = seconds_of([&] { attention.run(); });
  cost.scratch = growth(before);
  if (cost.seconds < 1) cost.seconds = median_seconds([&] { attention.run(); });
  return cost;
}

struct MaterialisedCost {
  double library_seconds = 0;  // of all query heads, one after another
  double plain_seconds = 0;    // the same, with products as they are first written down
  size_t scratch = 0;          // of one head
};

MaterialisedCost measure_materialised(const KernelBench& bench, const AttentionCase::Geometry& geometry) {
  ThreadPool pool(bench.backend.num_threads, bench.backend.spin);
  const std::unique_ptr<Backend> memory = make_backend("cpu", {.num_threads = 1, .spin = false, .isa = {}});
  const auto tokens = static_cast<size_t>(geometry.num_tokens), dim = static_cast<size_t>(geometry.head_dim);
  const Buffer inputs = memory->allocate(4 * tokens * dim * sizeof(float));
  auto* floats = reinterpret_cast<float*>(inputs.data());
  fill_random(floats, 4 * tokens * dim, 5);
  const size_t before = resident_bytes();
  const Buffer scores = memory->allocate(tokens * tokens * sizeof(float));
  const MaterialisedHead head = {.q = floats,
                                 .k = floats + tokens * dim,
                                 .v = floats + 2 * tokens * dim,
                                 .scores = reinterpret_cast<float*>(scores.data()),
                                 .out = floats + 3 * tokens * dim,
                                 .q_stride = geometry.head_dim,
                                 .out_stride = geometry.head_dim,
                                 .num_tokens = geometry.num_tokens,
                                 .head_dim = geometry.head_dim,
                                 .scale = 0.125f};
  const MaterialisedKernels& kernels = materialised_kernels(configured_isa(bench.backend.isa));
  run_materialised(pool, kernels, false, head);  // once, untimed: the scores' memory is new
  MaterialisedCost cost;
  cost.scratch = growth(before);
  cost.library_seconds = geometry.num_q_heads * median_seconds([&] { run_materialised(pool, kernels, false, head); });
  cost.plain_seconds = geometry.num_q_heads * median_seconds([&] { run_materialised(pool, kernels, true, head); });
  return cost;
}

/// The kernel counts a process's pages in batches, so that small growth is not to be seen.
std::string mib(size_t bytes) { return bytes < (1 << 20) ? "< 1 MiB" : fmt::format("{} MiB", whole_number(static_cast<int64_t>(bytes >> 20))); }
std::string times(double ratio) { return fmt::format("{}x", short_number(ratio)); }

}  // namespace

TechniqueResult compare_flash(const KernelBench& bench, const ModelConfig& model, const std::vector<int32_t>& lengths) {
  AttentionCase::Geometry geometry;
  geometry.num_q_heads = std::max(1, model.num_q_heads / model.num_kv_heads);
  geometry.head_dim = model.head_dim / kMaterialisedDims * kMaterialisedDims == model.head_dim ? model.head_dim : 64;
  TechniqueResult result = {
      .name = "flash-tiled attention",
      .claim = "2-4x (papers on flash attention, on GPUs)",
      .measured = "",
      .table = TextTable({"tokens", "tiled, s", "scratch", "all scores, s", "scratch", "ratio", "plain loops, s", "ratio"}),
      .note = fmt::format("Causal attention of a whole prompt, {} query heads of {} on one KV head, {} threads. All scores: fp32, one head's at a time, as "
                          "textbooks write it: every score, mask, softmax, product, each a pass, with vectors as wide; the products in registers "
                          "for four rows at a time, as a library does them, and in plain loops. Scratch: what the process grew by.",
                          geometry.num_q_heads, geometry.head_dim, bench.backend.num_threads)};
  for (const int32_t length : lengths) {
    if (bench.interrupted()) break;
    geometry.depth = geometry.num_tokens = length;
    const Cost tiled = measure_tiled(bench, geometry);
    const MaterialisedCost all = measure_materialised(bench, geometry);
    const double ratio = all.library_seconds / tiled.seconds, plain_ratio = all.plain_seconds / tiled.seconds;
    result.table.add({whole_number(length), short_number(tiled.seconds), mib(tiled.scratch), short_number(all.library_seconds), mib(all.scratch),
                      times(ratio), short_number(all.plain_seconds), times(plain_ratio)});
    if (length > 8192) continue;  // the usual length to hold against a claim, or the longest below
    result.measured = fmt::format("{} at {} ({} plain loops), scratch {} against {}", times(ratio), whole_number(length), times(plain_ratio),
                                  mib(tiled.scratch), mib(all.scratch));
  }
  return result;
}

TechniqueResult compare_heads(const KernelBench& bench, int32_t depth) {
  constexpr int32_t kQueryHeads = 32, kHeadDim = 64, kLayers = 4;
  TechniqueResult result = {.name = "grouped-query attention",
                            .claim = "8x less KV memory with 8 query heads to a KV head (model cards)",
                            .measured = "",
                            .table = TextTable({"heads", "KV bytes per token and layer", "of MHA's", "decode attention, us per layer", "speed-up"}),
                            .note = fmt::format("One sequence's decode at a depth of {} tokens, F16 pages, {} query heads of {}, {} threads.", depth, kQueryHeads,
                                                kHeadDim, bench.backend.num_threads)};
  const std::unique_ptr<Backend> backend = make_backend("cpu", bench.backend);
  double all_heads_seconds = 0;
  for (const int32_t kv_heads : {32, 8, 4, 1}) {
    if (bench.interrupted()) break;
    AttentionCase attention(*backend, {.num_q_heads = kQueryHeads, .num_kv_heads = kv_heads, .head_dim = kHeadDim, .num_layers = kLayers, .depth = depth});
    for (int32_t layer = 0; layer < kLayers; ++layer) attention.run();
    const double seconds = median_seconds([&] {
      for (int32_t layer = 0; layer < kLayers; ++layer) attention.run();
    }) / kLayers;
    if (kv_heads == kQueryHeads) all_heads_seconds = seconds;
    const char* kind = kv_heads == kQueryHeads ? "MHA" : kv_heads == 1 ? "MQA" : "GQA";
    const int32_t sharing = kQueryHeads / kv_heads;
    result.table.add({fmt::format("{}, {} KV head{}", kind, kv_heads, kv_heads == 1 ? "" : "s"), whole_number(2 * kv_heads * kHeadDim * 2),
                      sharing == 1 ? "1" : fmt::format("1/{}", sharing), short_number(1e6 * seconds), times(all_heads_seconds / seconds)});
    if (sharing == 8) result.measured = fmt::format("8x less memory, decode attention {} as fast", times(all_heads_seconds / seconds));
  }
  return result;
}

}  // namespace terrace
