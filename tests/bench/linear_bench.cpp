// Speed of the linear kernels on the shapes of SmolLM2-135M. GMAC/s counts multiply-adds of weights, GB/s the packed weights read
// once a call. Arguments: rows of x, threads, numerics: fast. A large set of weight copies keeps decode out of the caches, as a model does.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>

#include "kernels/cpu/linear.h"
#include "tests/support/kernels/random_weights.h"

namespace terrace {
namespace {

struct Shape {
  const char* name;
  DType dtype;
  int64_t cols;
  int64_t rows;
  bool fine = false;
};

constexpr Shape kShapes[] = {
    {"qkv", DType::kQ4_1, 576, 960},       {"attention_out", DType::kQ4_1, 576, 576},
    {"gate_up", DType::kQ4_1, 576, 3072},  {"down", DType::kQ4_1, 1536, 576},
    {"head", DType::kQ8_0, 576, 49152},    {"down_fine", DType::kQ4_1, 1536, 576, true},
    {"gate_up_q4_0", DType::kQ4_0, 576, 3072}, {"gate_up_q8_0", DType::kQ8_0, 576, 3072},
    {"gate_up_q4_k", DType::kQ4_K, 768, 3072}, {"gate_up_q5_k", DType::kQ5_K, 768, 3072},
    {"gate_up_q6_k", DType::kQ6_K, 768, 3072}, {"gate_up_f16", DType::kF16, 576, 3072},
    {"gate_up_f32", DType::kF32, 576, 3072},
};
constexpr size_t kWeightBytes = 64 << 20;  // more than most last-level caches hold for one core

void run_linear(benchmark::State& state, const Shape& shape) {
  const int64_t num_rows = state.range(0);
  ThreadPool pool(static_cast<int>(state.range(1)));
  LinearOps linear(linear_kernels(configured_isa(""), state.range(2) == 1 ? Numerics::kFast : Numerics::kInvariant), pool);
  std::mt19937 random(1);
  const auto matrix = testing::make_random_matrix(shape.dtype, shape.rows, shape.cols, random);
  std::vector<std::unique_ptr<Weight>> weights;
  size_t held = 0;
  while (weights.empty() || (num_rows == 1 && held < kWeightBytes)) {
    weights.push_back(linear.pack(matrix.matrix, {.fine_activations = shape.fine}));
    held += weights.back()->bytes();
  }
  std::vector<float> x = testing::make_random_activations(num_rows, shape.cols, random);
  std::vector<float> out(static_cast<size_t>(num_rows * shape.rows));
  size_t next = 0;
  for (auto _ : state) {
    const LinearOutput output = {weights[next++ % weights.size()].get(), {out.data(), num_rows, shape.rows, shape.rows}, nullptr};
    linear.run({x.data(), num_rows, shape.cols, shape.cols}, {&output, 1});
    benchmark::ClobberMemory();
  }
  const auto rate = [&](double amount) {
    return benchmark::Counter(amount * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
  };
  state.counters["GMAC/s"] = rate(static_cast<double>(num_rows * shape.rows * shape.cols));
  state.counters["GB/s"] = rate(static_cast<double>(weights[0]->bytes()));
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  for (const terrace::Shape& shape : terrace::kShapes) {
    benchmark::RegisterBenchmark(shape.name, [&shape](benchmark::State& state) { terrace::run_linear(state, shape); })
        ->ArgsProduct({{1, 32, 512}, {1, 2}, {0, 1}})
        ->ArgNames({"rows", "threads", "fast"})
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
