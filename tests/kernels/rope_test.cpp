// Rotation of q and k and the write of k and v into pages, on every backend, against double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "kernels/base/half.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"
#include "tests/support/kernels/stored_row.h"

namespace terrace {
namespace {

struct RopeShape {
  int32_t head_dim = 64;
  int32_t rotary_dim = 64;
  RopeStyle style = RopeStyle::kAdjacentPairs;
  float factor = 1.0f;
  KvFormat format = KvType::kF32;
};

constexpr int32_t kQHeads = 3, kKvHeads = 2, kPageTokens = 16;

/// One step of tokens at scattered positions, each in its own page.
struct RopeRun {
  std::vector<int32_t> positions = {0, 1, 17, 300, 8191, 131071};
  std::vector<float> inverse_frequency, q_in, k_in, v_in, q_out;
  PageLayout layout;
  std::vector<std::byte> pool;

  /// `first_value`: of the first token's V, unless it is 0.
  RopeRun(Backend& backend, const RopeShape& shape, float first_value = 0) {
    const auto n = static_cast<int64_t>(positions.size());
    for (int i = 0; i < shape.rotary_dim / 2; ++i) {
      inverse_frequency.push_back(static_cast<float>(std::pow(100000.0, -2.0 * i / shape.rotary_dim)));
    }
    q_in = random_floats(1, n * kQHeads * shape.head_dim);
    k_in = random_floats(2, n * kKvHeads * shape.head_dim);
    v_in = random_floats(3, n * kKvHeads * shape.head_dim);
    if (first_value != 0) v_in[0] = first_value;
    TestMatrix q(backend, n, kQHeads * shape.head_dim, 5), k(backend, n, kKvHeads * shape.head_dim),
        v(backend, n, kKvHeads * shape.head_dim);
    q.set(q_in);
    k.set(k_in);
    v.set(v_in);
    layout = make_page_layout(shape.format, kPageTokens, 3, kKvHeads, shape.head_dim);
    const Buffer memory = backend.allocate(static_cast<size_t>(n) * layout.page_stride);
    const KvPool kv{memory.data(), layout};
    const std::vector<int32_t> pages = {5, 4, 3, 2, 1, 0};
    const std::vector<uint32_t> frames = {0, 1, 2, 3, 4, 5};
    backend.begin_step({positions, positions, pages, {}, frames});
    backend.rope_and_store_kv({q.view(), k.view(), v.view(), shape.head_dim, shape.rotary_dim, shape.style,
                               inverse_frequency, shape.factor, {.group = 0, .layer = 2}, &kv});
    q_out = q.get(backend);
    pool.resize(memory.bytes());
    backend.read(memory.data(), pool);
  }

  const std::byte* page(size_t token) const { return pool.data() + (5 - token) * layout.page_stride; }
  int slot(size_t token) const { return positions[token] % kPageTokens; }
  float scale(size_t token, int head, bool value) const {
    float result = 0;
    std::memcpy(&result, page(token) + layout.scale_offset(value ? layout.v : layout.k, 2, head, slot(token)), sizeof result);
    return result;
  }
  /// Element d of a token's K or V head in layer 2.
  float stored(size_t token, int head, bool value, size_t d) const {
    return static_cast<float>(stored_row(page(token), layout, value ? layout.v : layout.k, 2, head, slot(token))[d]);
  }

  double rotated(const RopeShape& shape, const float* head, size_t token, int d) const {
    if (d >= shape.rotary_dim) return head[d];
    const bool pairs = shape.style == RopeStyle::kAdjacentPairs;
    const int half = shape.rotary_dim / 2;
    const int index = pairs ? d / 2 : d % half;
    const int partner = pairs ? d ^ 1 : (d < half ? d + half : d - half);
    const double angle = static_cast<float>(positions[token]) * inverse_frequency[static_cast<size_t>(index)];
    const double sine = partner > d ? -std::sin(angle) : std::sin(angle);
    return shape.factor * (head[d] * std::cos(angle) + head[partner] * sine);
  }
};

class RopeTest : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, RopeTest, testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(RopeTest, RotatesBothStylesAndPartsOfHeads) {
  for (const RopeStyle style : {RopeStyle::kAdjacentPairs, RopeStyle::kHalves}) {
    for (const auto& [head_dim, rotary_dim] : {std::pair{64, 64}, {80, 80}, {128, 64}, {80, 20}, {64, 0}}) {
      const RopeShape shape{head_dim, rotary_dim, style, 1.25f};
      const RopeRun run(*backend_, shape);
      for (size_t token = 0; token < run.positions.size(); ++token) {
        for (int d = 0; d < head_dim; ++d) {
          for (int head = 0; head < kQHeads; ++head) {
            const size_t offset = (token * kQHeads + static_cast<size_t>(head)) * static_cast<size_t>(head_dim);
            ASSERT_NEAR(run.q_out[offset + static_cast<size_t>(d)], run.rotated(shape, &run.q_in[offset], token, d),
                        2e-6)
                << token << " " << d;
          }
          for (int head = 0; head < kKvHeads; ++head) {
            const size_t offset = (token * kKvHeads + static_cast<size_t>(head)) * static_cast<size_t>(head_dim);
            const auto dim = static_cast<size_t>(d);
            ASSERT_NEAR(run.stored(token, head, false, dim), run.rotated(shape, &run.k_in[offset], token, d), 2e-6)
                << token << " " << d;
            ASSERT_EQ(run.stored(token, head, true, dim), run.v_in[offset + dim]);
          }
        }
      }
    }
  }
}

TEST_P(RopeTest, RoundsToThePagesType) {
  for (const KvType type : {KvType::kF16, KvType::kBF16}) {
    const RopeShape shape{20, 0, RopeStyle::kHalves, 1.0f, type};
    const RopeRun run(*backend_, shape);
    for (size_t token = 0; token < run.positions.size(); ++token) {
      for (size_t d = 0; d < 20; ++d) {
        const float k = run.k_in[token * kKvHeads * 20 + d];
        const float expected = type == KvType::kF16 ? f16_to_float(float_to_f16(k)) : bf16_to_float(float_to_bf16(k));
        ASSERT_EQ(run.stored(token, 0, false, d), expected);
      }
    }
  }
}

// What the keys at `offset` are, rotated by their position and then turned as they are stored.
std::vector<double> turned_keys(const RopeRun& run, const RopeShape& shape, size_t token, size_t offset) {
  std::vector<double> rotated;
  for (int d = 0; d < shape.head_dim; ++d) rotated.push_back(run.rotated(shape, &run.k_in[offset], token, d));
  return hadamard(rotated, rotated_dims(shape.head_dim));
}

TEST_P(RopeTest, QuantisesRowsToHalfAStepOfTheLargest) {
  for (const int head_dim : {64, 80, 20}) {
    const RopeShape shape{head_dim, head_dim, RopeStyle::kAdjacentPairs, 1.0f, KvType::kQ8};
    const RopeRun run(*backend_, shape);
    for (size_t token = 0; token < run.positions.size(); ++token) {
      for (int head = 0; head < kKvHeads; ++head) {
        const size_t offset = (token * kKvHeads + static_cast<size_t>(head)) * static_cast<size_t>(head_dim);
        const std::vector<double> keys = turned_keys(run, shape, token, offset);
        const std::vector<double> values(run.v_in.begin() + static_cast<int64_t>(offset), run.v_in.begin() + static_cast<int64_t>(offset) + head_dim);
        for (const bool value : {false, true}) {
          const std::vector<double>& expected = value ? values : keys;
          double largest = 0;
          for (const double x : expected) largest = std::max(largest, std::abs(x));
          const double step = run.scale(token, head, value);
          ASSERT_NEAR(step, largest / 127, 1e-7);
          for (size_t d = 0; d < expected.size(); ++d) ASSERT_NEAR(run.stored(token, head, value, d), expected[d], step / 2 + 5e-6) << token << " " << d;
        }
      }
    }
  }
}

// Without a rotation, whose cosines are a backend's own: codes and scales.
TEST_P(RopeTest, CodesAreTheSameBitsOnEveryBackend) {
  const std::unique_ptr<Backend> scalar = make_backend("cpu", {1, false, "scalar"});
  for (const KvFormat format : {KvFormat(KvType::kQ8), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4)}) {
    for (const int head_dim : {64, 80, 20, 256}) {
      const RopeShape shape{head_dim, 0, RopeStyle::kHalves, 1.0f, format};
      const RopeRun run(*backend_, shape, 77.0f), expected(*scalar, shape, 77.0f);
      for (size_t token = 0; token < run.positions.size(); ++token) {
        for (int head = 0; head < kKvHeads; ++head) {
          for (const PageRows& rows : {run.layout.k, run.layout.v}) {
            const size_t row = run.layout.row_offset(rows, 2, head, run.slot(token)), scale = run.layout.scale_offset(rows, 2, head, run.slot(token));
            ASSERT_EQ(std::memcmp(run.page(token) + row, expected.page(token) + row, rows.row_bytes), 0) << kv_format_name(format) << " " << head_dim;
            ASSERT_EQ(std::memcmp(run.page(token) + scale, expected.page(token) + scale, rows.scale_bytes), 0) << kv_format_name(format) << " " << head_dim;
          }
        }
      }
    }
  }
}

// Random rows, of which 16 dims of one normal distribution lose 0.066 of their deviation; no value more than a fifth of the largest.
TEST_P(RopeTest, QuantisesRowsTo4BitsOfEachSixteenDims) {
  for (const int head_dim : {64, 80, 20, 8, 128}) {
    const RopeShape shape{head_dim, head_dim, RopeStyle::kAdjacentPairs, 1.0f, KvType::kQ4};
    const RopeRun run(*backend_, shape);
    double lost = 0, whole = 0;
    for (size_t token = 0; token < run.positions.size(); ++token) {
      for (int head = 0; head < kKvHeads; ++head) {
        const size_t offset = (token * kKvHeads + static_cast<size_t>(head)) * static_cast<size_t>(head_dim);
        std::vector<double> rotated;
        for (int d = 0; d < head_dim; ++d) rotated.push_back(run.rotated(shape, &run.k_in[offset], token, d));
        const std::vector<double> values(run.v_in.begin() + static_cast<int64_t>(offset), run.v_in.begin() + static_cast<int64_t>(offset) + head_dim);
        for (const bool value : {false, true}) {
          const std::vector<double> expected = hadamard(value ? values : rotated, rotated_dims(head_dim));
          for (size_t begin = 0; begin < expected.size(); begin += 16) {
            double largest = 0;
            const size_t end = std::min(begin + 16, expected.size());
            for (size_t d = begin; d < end; ++d) largest = std::max(largest, std::abs(expected[d]));
            for (size_t d = begin; d < end; ++d) {
              const double error = run.stored(token, head, value, d) - expected[d];
              ASSERT_LE(std::abs(error), largest / 5) << token << " " << d;
              lost += error * error;
              whole += expected[d] * expected[d];
            }
          }
        }
      }
    }
    EXPECT_LT(std::sqrt(lost / whole), 0.075) << head_dim;
  }
}

// Zeros, a value that f16's scales just hold and one that they do not.
TEST_P(RopeTest, FourBitRowsHoldWhatTheirScalesHold) {
  const RopeShape shape{16, 0, RopeStyle::kHalves, 1.0f, KvType::kQ4};
  EXPECT_NEAR(RopeRun(*backend_, shape, 200000.0f).stored(0, 0, true, 0), 50000.0, 5000.0);  // turned: a quarter in each dim
  EXPECT_FALSE(std::isfinite(RopeRun(*backend_, shape, 1e7f).stored(0, 0, true, 0)));
}

TEST_P(RopeTest, ScoresStayWhatTheyWereWhereKeysAreTurned) {
  for (const int head_dim : {64, 80}) {
    const RopeRun plain(*backend_, {head_dim, head_dim}), turned(*backend_, {head_dim, head_dim, RopeStyle::kAdjacentPairs, 1.0f, KvType::kQ8});
    for (size_t token = 0; token < plain.positions.size(); ++token) {
      double expected = 0, actual = 0, magnitude = 0;
      for (size_t d = 0; d < static_cast<size_t>(head_dim); ++d) {
        const size_t i = token * kQHeads * static_cast<size_t>(head_dim) + d;
        expected += static_cast<double>(plain.q_out[i]) * plain.stored(token, 0, false, d);
        actual += static_cast<double>(turned.q_out[i]) * turned.stored(token, 0, false, d);
        magnitude += std::abs(turned.q_out[i]);
      }
      ASSERT_NEAR(actual, expected, magnitude * turned.scale(token, 0, false) / 2 + 1e-4);
    }
  }
}

TEST_P(RopeTest, ARowThatIsNotFiniteHasNoFiniteScale) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const RopeRun run(*backend_, {64, 64, RopeStyle::kHalves, 1.0f, KvType::kQ8}, bad);
    EXPECT_FALSE(std::isfinite(run.scale(0, 0, true)));
    EXPECT_TRUE(std::isfinite(run.scale(0, 1, true)));
  }
}

TEST_P(RopeTest, ARowOf4BitsThatIsNotFiniteIsReadAsNaN) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const RopeRun run(*backend_, {64, 64, RopeStyle::kHalves, 1.0f, KvType::kQ4}, bad);
    for (size_t d = 0; d < 64; ++d) {
      EXPECT_TRUE(std::isnan(run.stored(0, 0, true, d)));
      EXPECT_TRUE(std::isfinite(run.stored(0, 1, true, d)));
    }
  }
}

// Values exactly, keys by half a step, since they are turned by the backend's own cosines.
TEST_P(RopeTest, RoundsToTheNearestFloatOf8Bits) {
  for (const int head_dim : {64, 80, 20}) {
    const RopeShape shape{head_dim, head_dim, RopeStyle::kAdjacentPairs, 1.0f, KvType::kF8};
    const RopeRun run(*backend_, shape, 1000.0f);
    EXPECT_EQ(run.stored(0, 0, true, 0), 448.0f);
    for (size_t token = 0; token < run.positions.size(); ++token) {
      for (int head = 0; head < kKvHeads; ++head) {
        const size_t offset = (token * kKvHeads + static_cast<size_t>(head)) * static_cast<size_t>(head_dim);
        const std::vector<double> keys = turned_keys(run, shape, token, offset);
        for (size_t d = 0; d < keys.size(); ++d) {
          ASSERT_EQ(run.stored(token, head, true, d), f8_to_float(float_to_f8(run.v_in[offset + d]))) << token << " " << d;
          ASSERT_NEAR(run.stored(token, head, false, d), keys[d], std::max(std::abs(keys[d]) / 16, 0x1p-10) + 5e-6) << token << " " << d;
        }
      }
    }
  }
}

TEST_P(RopeTest, AnEightBitFloatThatIsNotFiniteIsReadAsNaN) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    const RopeRun run(*backend_, {64, 64, RopeStyle::kHalves, 1.0f, KvType::kF8}, bad);
    for (size_t d = 0; d < 64; ++d) EXPECT_EQ(std::isnan(run.stored(0, 0, true, d)), d == 0);
  }
}

TEST_P(RopeTest, TouchesNothingButTheTokensRows) {
  const RopeRun run(*backend_, RopeShape{});
  size_t written = 0;
  for (const std::byte byte : run.pool) written += byte != std::byte{0} ? 1 : 0;
  EXPECT_LE(written, run.positions.size() * 2 * kKvHeads * 64 * 4);
}

}  // namespace
}  // namespace terrace
