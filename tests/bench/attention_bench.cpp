// Attention and selection at the shapes of SmolLM2-135M (9 query heads, 3 KV heads of 64, F16 pages of 16 tokens, 30
// layers). Layers take turns, so that a decode step's K and V come from memory, as they do in a model.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "launcher/bench/attention_case.h"

namespace terrace {
namespace {

constexpr int32_t kLayers = 30, kQHeads = 9, kKvHeads = 3, kHeadDim = 64, kPageTokens = 16;

AttentionCase::Geometry geometry(int32_t sequences, int32_t depth, int32_t num_tokens) {
  return {.num_q_heads = kQHeads, .num_kv_heads = kKvHeads, .head_dim = kHeadDim, .num_layers = kLayers, .num_sequences = sequences, .depth = depth,
          .num_tokens = num_tokens, .page_tokens = kPageTokens};
}

std::unique_ptr<Backend> backend_with(int64_t threads, Numerics numerics = Numerics::kInvariant) {
  BackendOptions options;
  options.num_threads = static_cast<int>(threads);
  options.numerics = numerics;
  return make_backend("cpu", options);
}

/// One layer of a decode step: {threads, sequences, depth, format of kKvFormats}. Bytes: K and V read.
void decode(benchmark::State& state) {
  const auto sequences = static_cast<int32_t>(state.range(1));
  const auto depth = static_cast<int32_t>(state.range(2));
  const auto backend = backend_with(state.range(0));
  const NamedKvFormat& named = kKvFormats.at(static_cast<size_t>(state.range(3)));
  AttentionCase::Geometry shape = geometry(sequences, depth, 1);
  shape.format = named.format;
  AttentionCase attention(*backend, shape);
  for (auto _ : state) attention.run();
  state.SetBytesProcessed(state.iterations() * sequences * depth * static_cast<int64_t>(attention.kv().layout.layer_stride / kPageTokens));
  state.SetLabel(std::string(named.name));
}
BENCHMARK(decode)
    ->ArgsProduct({{1, 2}, {1}, {256, 2048, 8192}, {0, 3, 4, 5, 6}})
    ->Args({2, 32, 512, 0})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

/// The same by turns with sparse reading of so many pages beside 5: {threads, depth, pages}. "of_dense": of the time of reading all.
void sparse_decode(benchmark::State& state) {
  const auto depth = static_cast<int32_t>(state.range(1));
  const auto backend = backend_with(state.range(0));
  AttentionCase::Geometry shape = geometry(1, depth, 1);
  AttentionCase dense(*backend, shape);
  shape.sparse = {.mode = SparseReading::Mode::kTop, .pages = static_cast<int32_t>(state.range(2))};
  AttentionCase sparse(*backend, shape);
  const auto seconds_of = [](AttentionCase& attention) {  // of all layers once
    const auto start = std::chrono::steady_clock::now();
    for (int32_t layer = 0; layer < kLayers; ++layer) attention.run();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double dense_seconds = 0, sparse_seconds = 0;
  for (auto _ : state) {
    dense_seconds += seconds_of(dense);
    const double seconds = seconds_of(sparse);
    sparse_seconds += seconds;
    state.SetIterationTime(seconds / kLayers);
  }
  state.counters["of_dense"] = sparse_seconds / dense_seconds;
}
BENCHMARK(sparse_decode)->ArgsProduct({{1, 2}, {4096, 8192, 32768}, {32, 64, 128}})->Iterations(30)->UseManualTime()->Unit(benchmark::kMicrosecond);

/// One layer of a prefill of the last {threads, tokens, depth, numerics: fast} tokens. "FLOPS": of both products.
void prefill(benchmark::State& state) {
  const auto tokens = static_cast<int32_t>(state.range(1));
  const auto depth = static_cast<int32_t>(state.range(2));
  const auto backend = backend_with(state.range(0), state.range(3) != 0 ? Numerics::kFast : Numerics::kInvariant);
  AttentionCase attention(*backend, geometry(1, depth, tokens));
  for (auto _ : state) attention.run();
  const double pairs = static_cast<double>(tokens) * (depth - tokens) + 0.5 * tokens * (tokens + 1);
  state.counters["FLOPS"] =
      benchmark::Counter(pairs * kQHeads * kHeadDim * 4, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(prefill)->ArgsProduct({{1, 2}, {512}, {512, 4096}, {0, 1}})->UseRealTime()->Unit(benchmark::kMicrosecond);

/// {threads, rows, columns}, the 64 largest.
void select_top(benchmark::State& state) {
  const auto backend = backend_with(state.range(0));
  const int64_t rows = state.range(1), cols = state.range(2);
  const Buffer memory = backend->allocate(static_cast<size_t>(rows * cols) * sizeof(float));
  const MatrixView logits{reinterpret_cast<float*>(memory.data()), rows, cols, cols};
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 4.0f);
  for (int64_t i = 0; i < rows * cols; ++i) logits.data[i] = normal(random);
  std::vector<TopLogits> out(static_cast<size_t>(rows));
  for (auto _ : state) backend->select_top(logits, 64, out);
}
BENCHMARK(select_top)->ArgsProduct({{1, 2}, {1, 32}, {49152, 128256}})->UseRealTime()->Unit(benchmark::kMicrosecond);

uint64_t sum_words(const std::byte* memory, size_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(memory);
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes / 8; ++i) sum += words[i];
  return sum;
}

/// The limit of decode: its pages read in its order, without prefetch or arithmetic. {threads, depth}.
void read_pages(benchmark::State& state) {
  const auto depth = static_cast<int32_t>(state.range(1));
  const auto backend = backend_with(state.range(0));
  const AttentionCase attention(*backend, geometry(1, depth, 1));
  const PageLayout& layout = attention.kv().layout;
  ThreadPool pool(static_cast<int>(state.range(0)));
  constexpr int32_t kPiecePages = kAttentionSplit / kPageTokens;
  int32_t layer = 0;
  for (auto _ : state) {
    const std::byte* base = attention.kv().base + layout.row_offset(layout.k, layer, 0, 0);
    pool.parallel_for(depth / kAttentionSplit, 1, [&](int64_t piece, int64_t) {
      for (const size_t offset : {size_t{0}, layout.v.offset}) {
        for (int64_t page = piece * kPiecePages; page < (piece + 1) * kPiecePages; ++page) {
          const uint32_t frame = attention.frames()[static_cast<size_t>(page)];
          benchmark::DoNotOptimize(sum_words(base + frame * layout.page_stride + offset, layout.v.offset));
        }
      }
    });
    layer = (layer + 1) % kLayers;
  }
  state.SetBytesProcessed(state.iterations() * depth * static_cast<int64_t>(2 * kKvHeads * kHeadDim * 2));
}
BENCHMARK(read_pages)->ArgsProduct({{1, 2}, {2048, 8192}})->UseRealTime()->Unit(benchmark::kMicrosecond);

/// What the threads can read at most: sums of 256 MiB.
void read_memory(benchmark::State& state) {
  const auto backend = backend_with(state.range(0));
  constexpr size_t kBytes = size_t{256} << 20, kPart = kBytes / 64;
  const Buffer memory = backend->allocate(kBytes);
  std::memset(memory.data(), 1, memory.bytes());
  ThreadPool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    pool.parallel_for(64, 1, [&](int64_t part, int64_t) {
      benchmark::DoNotOptimize(sum_words(memory.data() + static_cast<size_t>(part) * kPart, kPart));
    });
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kBytes));
}
BENCHMARK(read_memory)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace terrace

BENCHMARK_MAIN();
