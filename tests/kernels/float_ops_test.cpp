// The ops that work row by row, on every backend, against double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "kernels/base/half.h"
#include "kernels/quant_block.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"
#include "tests/support/kernels/random_weights.h"

namespace terrace {
namespace {

class FloatOpsTest : public BackendTest {
 protected:
  TestMatrix matrix(int64_t rows, int64_t cols, const std::vector<float>& values) {
    TestMatrix result(*backend_, rows, cols, 3);
    result.set(values);
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, FloatOpsTest, ::testing::ValuesIn(backend_cases()), backend_case_name);

std::vector<double> norm_reference(const std::vector<float>& x, const std::vector<float>& weight, double eps) {
  const size_t cols = weight.size();
  std::vector<double> out(x.size());
  for (size_t row = 0; row < x.size() / cols; ++row) {
    double squares = 0;
    for (size_t i = 0; i < cols; ++i) squares += static_cast<double>(x[row * cols + i]) * x[row * cols + i];
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (size_t i = 0; i < cols; ++i) out[row * cols + i] = x[row * cols + i] * factor * weight[i];
  }
  return out;
}

TEST_P(FloatOpsTest, RmsNormMatchesTheReference) {
  for (const int64_t cols : {1, 7, 8, 33, 576, 8192}) {
    const std::vector<float> x = random_floats(1, 40 * cols, 3.0f), weight = random_floats(2, cols);
    const Buffer weights = backend_->upload(weight);
    TestMatrix input = matrix(40, cols, x);
    TestMatrix out = matrix(40, cols, x);
    backend_->rms_norm(input.view(), reinterpret_cast<const float*>(weights.data()), 1e-5f, out.view());
    const std::vector<float> actual = out.get(*backend_);
    const std::vector<double> expected = norm_reference(x, weight, 1e-5);
    for (size_t i = 0; i < actual.size(); ++i)
      ASSERT_NEAR(actual[i], expected[i], 1e-6 * (1 + std::abs(expected[i]))) << cols << " " << i;
    backend_->rms_norm(input.view(), reinterpret_cast<const float*>(weights.data()), 1e-5f, input.view());
    EXPECT_TRUE(same_bits(actual, input.get(*backend_))) << "in place";
  }
}

TEST_P(FloatOpsTest, AddRmsNormIsAddThenRmsNorm) {
  const int64_t rows = 50, cols = 577;
  const std::vector<float> x = random_floats(3, rows * cols), delta = random_floats(4, rows * cols);
  const Buffer weights = backend_->upload(random_floats(5, cols));
  const auto* weight = reinterpret_cast<const float*>(weights.data());
  TestMatrix fused = matrix(rows, cols, x), plain = matrix(rows, cols, x), change = matrix(rows, cols, delta);
  TestMatrix fused_out(*backend_, rows, cols), plain_out(*backend_, rows, cols);
  backend_->add_rms_norm(fused.view(), change.view(), weight, 1e-5f, fused_out.view());
  backend_->add(plain.view(), change.view());
  backend_->rms_norm(plain.view(), weight, 1e-5f, plain_out.view());
  const std::vector<float> sum = plain.get(*backend_);
  for (size_t i = 0; i < sum.size(); ++i) ASSERT_EQ(sum[i], x[i] + delta[i]);
  EXPECT_TRUE(same_bits(fused.get(*backend_), sum));
  EXPECT_TRUE(same_bits(fused_out.get(*backend_), plain_out.get(*backend_)));
  TestMatrix over = matrix(rows, cols, x), both = matrix(rows, cols, delta);
  backend_->add_rms_norm(over.view(), both.view(), weight, 1e-5f, both.view());
  EXPECT_TRUE(same_bits(both.get(*backend_), plain_out.get(*backend_))) << "the norm over the delta";
}

TEST_P(FloatOpsTest, RmsNormOfHeadsIsThatOfEachHead) {
  const int64_t rows = 6, heads = 3, dim = 40;
  const std::vector<float> x = random_floats(40, rows * heads * dim), weight = random_floats(41, dim);
  const Buffer weights = backend_->upload(weight);
  const auto* w = reinterpret_cast<const float*>(weights.data());
  TestMatrix dense(*backend_, rows, heads * dim, 0), apart = matrix(rows, heads * dim, x);
  dense.set(x);
  for (TestMatrix* m : {&dense, &apart}) {
    backend_->rms_norm_heads(m->view(), static_cast<int32_t>(dim), w, 1e-6f);
    const std::vector<float> actual = m->get(*backend_);
    const std::vector<double> expected = norm_reference(x, weight, 1e-6);
    for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-6 * (1 + std::abs(expected[i]))) << i;
  }
  EXPECT_TRUE(same_bits(dense.get(*backend_), apart.get(*backend_)));
}

double activated(GateActivation activation, double x) {
  if (activation == GateActivation::kSilu) return x / (1.0 + std::exp(-x));
  return x / (1.0 + std::exp(-2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));  // = x / 2 (1 + tanh)
}

TEST_P(FloatOpsTest, GatesMatchTheReferenceFromEndToEnd) {
  std::vector<float> gate;
  for (float x = -120.0f; x < 120.0f; x += 0.013f) gate.push_back(x);
  gate.insert(gate.end(), {0.0f, -0.0f, 1e-30f, 3e38f, -3e38f});
  const auto cols = static_cast<int64_t>(gate.size());
  const std::vector<float> up = random_floats(6, cols);
  for (const GateActivation activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    TestMatrix g = matrix(1, cols, gate), u = matrix(1, cols, up);
    backend_->activate_gate(g.view(), u.view(), activation);
    const std::vector<float> actual = g.get(*backend_);
    // An exponent of up to 86 is rounded to float, and e^ takes its error: more roundings of it in gelu's cubic.
    const double relative = activation == GateActivation::kSilu ? 3e-7 : 3e-5;
    for (size_t i = 0; i < gate.size(); ++i) {
      const double expected = activated(activation, gate[i]) * up[i];
      const double close = std::abs(gate[i]) < 1 ? 6e-7 : relative;
      ASSERT_NEAR(actual[i], expected, close * std::abs(expected) + 1e-30) << gate[i];
    }
  }
}

TEST_P(FloatOpsTest, GeluIsTheTanhFormNotTheErrorFunction) {
  const std::vector<float> x = {-3.0f, -1.0f, 0.5f, 2.0f};
  TestMatrix gate = matrix(1, 4, x), up = matrix(1, 4, {1, 1, 1, 1});
  backend_->activate_gate(gate.view(), up.view(), GateActivation::kGeluTanh);
  const std::vector<float> actual = gate.get(*backend_);
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = std::sqrt(2 / std::numbers::pi) * (x[i] + 0.044715 * std::pow(x[i], 3));
    EXPECT_NEAR(actual[i], 0.5 * x[i] * (1 + std::tanh(u)), 2e-7) << x[i];  // erf's form: 4e-4 away at -3 and 2
  }
}

TEST_P(FloatOpsTest, GatedLinearIsLinearThenTheGate) {
  std::mt19937 random(20);
  const int64_t cols = 96, width = 83;
  const Buffer bias = backend_->upload(random_floats(21, width));
  const auto* biases = reinterpret_cast<const float*>(bias.data());
  const testing::RandomMatrix gate_values = testing::make_random_matrix(DType::kQ4_1, width, cols, random);
  const testing::RandomMatrix up_values = testing::make_random_matrix(DType::kQ8_0, width, cols, random);
  const std::unique_ptr<Weight> gate_weight = backend_->pack_linear(gate_values.matrix, {});
  const std::unique_ptr<Weight> up_weight = backend_->pack_linear(up_values.matrix, {});
  for (const GateActivation activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    for (const int64_t rows : {1, 5, 130}) {
      TestMatrix x = matrix(rows, cols, random_floats(22, rows * cols));
      TestMatrix gate(*backend_, rows, width, 3), up(*backend_, rows, width, 3), fused(*backend_, rows, width, 3), scratch(*backend_, rows, width, 3);
      const LinearOutput outputs[] = {{gate_weight.get(), gate.view(), biases}, {up_weight.get(), up.view(), nullptr}};
      backend_->linear(x.view(), outputs);
      backend_->activate_gate(gate.view(), up.view(), activation);
      backend_->gated_linear(x.view(), {gate_weight.get(), fused.view(), biases}, {up_weight.get(), scratch.view(), nullptr}, activation);
      EXPECT_TRUE(same_bits(fused.get(*backend_), gate.get(*backend_))) << rows << " rows";
    }
  }
}

TEST_P(FloatOpsTest, NanGoesThroughAGateInItsOwnColumnOnly) {
  for (const GateActivation activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    std::vector<float> values(9, 1.0f);
    TestMatrix up = matrix(1, 9, values);
    values[4] = std::numeric_limits<float>::quiet_NaN();
    TestMatrix gate = matrix(1, 9, values);
    backend_->activate_gate(gate.view(), up.view(), activation);
    const std::vector<float> actual = gate.get(*backend_);
    for (size_t i = 0; i < 9; ++i) EXPECT_EQ(std::isnan(actual[i]), i == 4);
  }
}

TEST_P(FloatOpsTest, EmbedLooksUpAndScalesRows) {
  const int64_t rows = 20, cols = 64;
  std::vector<uint16_t> table;
  for (const float value : random_floats(7, rows * cols)) table.push_back(float_to_f16(value));
  HostMatrix matrix{DType::kF16, rows, cols, 0, reinterpret_cast<const std::byte*>(table.data()), cols * 2};
  const std::unique_ptr<Weight> embedding = backend_->make_embedding(matrix);
  const std::vector<int32_t> tokens = {3, 19, 0, 3};
  backend_->begin_step({tokens, {}, {}, {}, {}});
  TestMatrix out(*backend_, 4, cols);
  backend_->embed(*embedding, 2.0f, out.view());
  const std::vector<float> actual = out.get(*backend_);
  for (size_t i = 0; i < tokens.size(); ++i) {
    for (size_t j = 0; j < cols; ++j) {
      ASSERT_EQ(actual[i * cols + j], 2.0f * f16_to_float(table[static_cast<size_t>(tokens[i]) * cols + j]));
    }
  }
}

TEST_P(FloatOpsTest, EmbedReadsColumnsOfEveryDtype) {
  std::mt19937 random(30);
  const std::vector<int32_t> tokens = {6, 0, 5};
  for (const DType dtype : testing::kAllDTypes) {
    const testing::RandomMatrix table = testing::make_random_matrix(dtype, 7, 768, random);
    for (const auto& [first, count] : {std::pair{0, 768}, {288, 352}, {512, 256}}) {
      const HostMatrix columns = testing::columns_of(table.matrix, first, count);
      const std::unique_ptr<Weight> embedding = backend_->make_embedding(columns);
      backend_->begin_step({tokens, {}, {}, {}, {}});
      TestMatrix out(*backend_, 3, count);
      backend_->embed(*embedding, 1.0f, out.view());
      const std::vector<float> actual = out.get(*backend_);
      for (size_t i = 0; i < tokens.size(); ++i) {
        std::vector<float> expected(static_cast<size_t>(count));
        const std::byte* row = columns.data + static_cast<size_t>(tokens[i]) * columns.row_bytes;
        dequantize_row(dtype, row, first, count, expected.data());
        const auto begin = actual.begin() + static_cast<std::ptrdiff_t>(i) * count;
        ASSERT_TRUE(same_bits({begin, begin + count}, expected)) << dtype_info(dtype).name << " from column " << first;
      }
    }
  }
}

TEST_P(FloatOpsTest, GatherRowsCopiesTheRowsAskedFor) {
  const std::vector<float> x = random_floats(8, 5 * 6);
  const TestMatrix src = matrix(5, 6, x);
  const TestMatrix dst(*backend_, 3, 6);
  const std::vector<int32_t> rows = {4, 0, 4};
  backend_->gather_rows(src.view(), rows, dst.view());
  const std::vector<float> actual = dst.get(*backend_);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 6; ++j) EXPECT_EQ(actual[i * 6 + j], x[static_cast<size_t>(rows[i]) * 6 + j]);
  }
}

TEST_P(FloatOpsTest, AllocatesAlignedZeros) {
  const Buffer buffer = backend_->allocate(10000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (GetParam().backend == "cpu" ? 4096 : 256), 0u);
  EXPECT_EQ(buffer.bytes(), 10000u);
  std::vector<float> floats(2500, 1.0f);
  backend_->read(buffer.data(), std::as_writable_bytes(std::span(floats)));
  for (const float value : floats) ASSERT_EQ(value, 0.0f);
}

TEST_P(FloatOpsTest, ReadsBackWhatWritesOfAnySizeLeft) {
  const size_t bytes = (size_t{9} << 20) + 77;
  std::vector<std::byte> values(bytes), actual(bytes);
  std::mt19937 random(12);
  for (std::byte& value : values) value = static_cast<std::byte>(random());
  const Buffer buffer = backend_->allocate(bytes);
  size_t begin = 0;
  for (const size_t size : {size_t{1}, size_t{63}, size_t{300'000}, size_t{1} << 20, size_t{5'000'001}, bytes}) {
    std::vector<std::byte> piece(values.begin() + static_cast<std::ptrdiff_t>(begin), values.begin() + static_cast<std::ptrdiff_t>(std::min(bytes, begin + size)));
    backend_->write(buffer.data() + begin, piece);
    std::fill(piece.begin(), piece.end(), std::byte{0xee});  // the source may change at once
    begin += piece.size();
  }
  ASSERT_EQ(begin, bytes);
  backend_->read(buffer.data(), actual);
  EXPECT_TRUE(actual == values);
}

TEST_P(FloatOpsTest, BitsDoNotDependOnHowRowsLie) {
  const int64_t rows = 3, cols = 1540;  // apart by a multiple of 16 bytes or not: a backend may load four floats at a time
  const std::vector<float> x = random_floats(13, rows * cols), delta = random_floats(14, rows * cols);
  const Buffer weights = backend_->upload(random_floats(15, cols));
  const auto run = [&](int64_t padding) {
    TestMatrix a(*backend_, rows, cols, padding), b(*backend_, rows, cols, padding), out(*backend_, rows, cols, padding);
    a.set(x);
    b.set(delta);
    backend_->add_rms_norm(a.view(), b.view(), reinterpret_cast<const float*>(weights.data()), 1e-5f, out.view());
    backend_->activate_gate(out.view(), a.view(), GateActivation::kSilu);
    backend_->activate_gate(out.view(), b.view(), GateActivation::kGeluTanh);
    backend_->add(out.view(), b.view());
    const std::vector<int32_t> order = {2, 0, 1};
    backend_->gather_rows(out.view(), order, a.view());
    return a.get(*backend_);
  };
  EXPECT_TRUE(same_bits(run(0), run(1)));
}

TEST_P(FloatOpsTest, BitsDoNotDependOnTheNumberOfRowsOrTheBackend) {
  const int64_t cols = 1537;
  const std::vector<float> x = random_floats(9, 64 * cols), up = random_floats(10, 64 * cols),
                           w = random_floats(11, cols);
  const std::unique_ptr<Backend> first = backend_cases().front().make();
  const auto run = [&](Backend& backend, int64_t rows) {
    TestMatrix a(backend, rows, cols), b(backend, rows, cols);
    a.set(x);
    b.set(up);
    const Buffer weight = backend.upload(w);
    backend.add_rms_norm(a.view(), b.view(), reinterpret_cast<const float*>(weight.data()), 1e-6f, a.view());
    backend.activate_gate(a.view(), b.view(), GateActivation::kSilu);
    backend.activate_gate(b.view(), a.view(), GateActivation::kGeluTanh);
    backend.add(a.view(), b.view());
    return a.get(backend);
  };
  const std::vector<float> alone = run(*backend_, 1);
  std::vector<float> batch = run(*backend_, 64);
  if (GetParam().bit_equal_to_first) {
    EXPECT_TRUE(same_bits(batch, run(*first, 64)));
  }
  batch.resize(static_cast<size_t>(cols));
  EXPECT_TRUE(same_bits(alone, batch));
}

}  // namespace
}  // namespace terrace
