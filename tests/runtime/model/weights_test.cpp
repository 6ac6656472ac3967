#include "runtime/model/weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/base/error.h"
#include "tests/support/runtime/loading_backend.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

using Matrix = std::vector<std::vector<float>>;  // rows of columns

Matrix matrix_of(const LinearLayer& layer) {
  const auto& weight = dynamic_cast<const FloatWeight&>(*layer.weight);
  Matrix matrix;
  for (int64_t row = 0; row < weight.rows(); ++row) {
    matrix.emplace_back(weight.values.begin() + row * weight.cols(), weight.values.begin() + (row + 1) * weight.cols());
  }
  return matrix;
}

Matrix cut(const Matrix& whole, Range rows, Range cols) {
  Matrix part;
  for (int32_t row = rows.begin; row < rows.end; ++row) {
    const std::vector<float>& values = whole[static_cast<size_t>(row)];
    part.emplace_back(values.begin() + cols.begin, values.begin() + cols.end);
  }
  return part;
}

std::vector<float> floats_of(const Buffer& buffer) {
  const auto* values = reinterpret_cast<const float*>(buffer.data());
  return {values, values + buffer.bytes() / sizeof(float)};
}

std::vector<float> cut(const std::vector<float>& whole, Range range) {
  return {whole.begin() + range.begin, whole.begin() + range.end};
}

Range times(Range heads, int32_t dim) { return {heads.begin * dim, heads.end * dim}; }

/// `part` is what `shard` should hold of `whole`.
void expect_slices(const DecoderWeights& whole, const DecoderWeights& part, const ModelConfig& model, const Shard& shard) {
  const Range hidden = {0, model.hidden_size};
  const Range q = times(shard.q_heads, model.head_dim);
  const Range kv = times(shard.kv_heads, model.head_dim);
  ASSERT_EQ(part.layers.size(), whole.layers.size());
  for (size_t i = 0; i < whole.layers.size(); ++i) {
    const LayerWeights& all = whole.layers[i];
    const LayerWeights& mine = part.layers[i];
    EXPECT_EQ(matrix_of(mine.q), cut(matrix_of(all.q), q, hidden));
    EXPECT_EQ(matrix_of(mine.k), cut(matrix_of(all.k), kv, hidden));
    EXPECT_EQ(matrix_of(mine.v), cut(matrix_of(all.v), kv, hidden));
    EXPECT_EQ(matrix_of(mine.o), cut(matrix_of(all.o), hidden, q));
    EXPECT_EQ(matrix_of(mine.gate), cut(matrix_of(all.gate), shard.ffn, hidden));
    EXPECT_EQ(matrix_of(mine.up), cut(matrix_of(all.up), shard.ffn, hidden));
    EXPECT_EQ(matrix_of(mine.down), cut(matrix_of(all.down), hidden, shard.ffn));
    EXPECT_EQ(floats_of(mine.attention_norm), floats_of(all.attention_norm));
    EXPECT_EQ(floats_of(mine.ffn_norm), floats_of(all.ffn_norm));
  }
  EXPECT_EQ(matrix_of(part.head), cut(matrix_of(whole.head), shard.vocab, hidden));
  EXPECT_EQ(part.embedding->rows(), model.vocab_size);
}

struct LoadedModel {
  std::string bytes;
  GgufFile file;
  ModelConfig model;

  explicit LoadedModel(const GgufBuilder& builder)
      : bytes(builder.build()), file(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf")), model(read_model_config(file)) {}

  DecoderWeights load(int rank, int num_ranks) const {
    LoadingBackend backend;
    return load_weights(file, model, make_shard(model, rank, num_ranks), backend, {});
  }
};

class WeightsOfFormat : public testing::TestWithParam<DType> {};

TEST_P(WeightsOfFormat, RanksHoldTheirSlicesOfTheFile) {
  TinyModelOptions options;
  options.format = GetParam();
  options.hidden_size = 256;  // a super-block; heads of 32 and FFN granules cut inside it
  options.heads = 8;
  options.kv_heads = 4;
  options.ffn_size = 512;
  options.vocab_size = 300;
  const LoadedModel loaded(make_tiny_model(options));
  const DecoderWeights whole = loaded.load(0, 1);
  for (const int num_ranks : {2, 3, 8}) {
    for (int rank = 0; rank < num_ranks; ++rank) {
      SCOPED_TRACE(testing::Message() << "rank " << rank << " of " << num_ranks);
      expect_slices(whole, loaded.load(rank, num_ranks), loaded.model, make_shard(loaded.model, rank, num_ranks));
    }
  }
}

TEST_P(WeightsOfFormat, DummyWeightsAreOneModelForEveryRankCount) {
  GeometryConfig geometry;
  geometry.format = GetParam();
  geometry.hidden_size = 256;
  geometry.heads = 8;
  geometry.ffn_size = 512;
  const ModelConfig model = make_dummy_model_config(geometry);
  LoadingBackend backend;
  const DecoderWeights whole = make_dummy_weights(geometry, model, make_shard(model, 0, 1), backend, {});
  for (int rank = 0; rank < 3; ++rank) {
    const Shard shard = make_shard(model, rank, 3);
    expect_slices(whole, make_dummy_weights(geometry, model, shard, backend, {}), model, shard);
  }
}

TEST_P(WeightsOfFormat, DummyWeightsAreCentredAndOfTheRightSize) {
  GeometryConfig geometry;
  geometry.format = GetParam();
  geometry.hidden_size = 256;
  const ModelConfig model = make_dummy_model_config(geometry);
  LoadingBackend backend;
  const DecoderWeights weights = make_dummy_weights(geometry, model, make_shard(model, 0, 1), backend, {});
  const auto& q = dynamic_cast<const FloatWeight&>(*weights.layers[1].q.weight);
  double sum = 0;
  double squares = 0;
  for (const float value : q.values) {
    sum += value;
    squares += double{value} * value;
  }
  const auto count = static_cast<double>(q.values.size());
  EXPECT_NEAR(sum / count, 0, 0.15 / 16);  // codes of Q4_0 are -8..7: off by half a step
  EXPECT_NEAR(std::sqrt(squares / count), 1.0 / 16, 0.2 / 16);
  EXPECT_NE(q.values, dynamic_cast<const FloatWeight&>(*weights.layers[0].q.weight).values);
}

TEST_P(WeightsOfFormat, TheEstimateIsWhatTheCpuBackendHolds) {
  TinyModelOptions options;
  options.format = GetParam();
  options.hidden_size = 256;
  options.ffn_size = 512;
  const LoadedModel loaded(make_tiny_model(options));
  const Shard shard = make_shard(loaded.model, 1, 2);
  const std::unique_ptr<Backend> backend = make_backend("cpu", {});
  EXPECT_EQ(estimate_weight_bytes(loaded.file, loaded.model, shard, *backend), load_weights(loaded.file, loaded.model, shard, *backend, {}).bytes);
}

TEST_P(WeightsOfFormat, RefusesABlockWhoseScaleIsNoNumber) {
  TinyModelOptions options;
  options.format = GetParam();
  options.hidden_size = 256;
  LoadedModel loaded(make_tiny_model(options));
  const GgufTensor& tensor = *loaded.file.find_tensor("blk.1.attn_q.weight");
  const size_t row = static_cast<size_t>(tensor.data - reinterpret_cast<const std::byte*>(loaded.bytes.data())) + 7 * tensor.row_bytes();
  const DTypeInfo& info = dtype_info(tensor.dtype);
  const size_t scale = GetParam() == DType::kQ6_K ? 208 : 0;
  for (const size_t at : {row + scale, row + 256 / info.block_elements * info.block_bytes - info.block_bytes + scale}) {  // first and last block
    std::fill_n(loaded.bytes.begin() + static_cast<int64_t>(at), info.block_elements == 1 ? info.block_bytes : 2, '\xff');
    try {
      loaded.load(0, 1);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModelCorrupt);
      EXPECT_NE(std::string_view(error.what()).find("row 7 of tensor \"blk.1.attn_q.weight\""), std::string_view::npos) << error.what();
    }
    std::fill_n(loaded.bytes.begin() + static_cast<int64_t>(at), info.block_elements == 1 ? info.block_bytes : 2, '\0');
    EXPECT_NO_THROW(loaded.load(0, 1));
  }
}

INSTANTIATE_TEST_SUITE_P(AllFormats, WeightsOfFormat,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                         DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K),
                         [](const auto& param) { return std::string(dtype_info(param.param).name); });

TEST(WeightsTest, ATiedHeadIsASliceOfTheEmbedding) {
  TinyModelOptions options;
  options.tied_head = true;
  const LoadedModel loaded(make_tiny_model(options));
  ASSERT_TRUE(loaded.model.tied_head);
  const DecoderWeights weights = loaded.load(1, 2);
  const auto& table = dynamic_cast<const FloatWeight&>(*weights.embedding).values;
  const Shard shard = make_shard(loaded.model, 1, 2);
  const std::vector<float> rows(table.begin() + shard.vocab.begin * 64, table.begin() + shard.vocab.end * 64);
  EXPECT_EQ(dynamic_cast<const FloatWeight&>(*weights.head.weight).values, rows);
}

TEST(WeightsTest, BiasesAreCutByRowsAndPartialSumsGetThemOnce) {
  TinyModelOptions options;
  options.architecture = "qwen2";
  options.biases = true;
  const LoadedModel loaded(make_tiny_model(options));
  const DecoderWeights whole = loaded.load(0, 1);
  for (int rank = 0; rank < 2; ++rank) {
    const Shard shard = make_shard(loaded.model, rank, 2);
    const DecoderWeights part = loaded.load(rank, 2);
    const LayerWeights& all = whole.layers[1];
    const LayerWeights& mine = part.layers[1];
    EXPECT_EQ(floats_of(mine.q.bias), cut(floats_of(all.q.bias), times(shard.q_heads, 32)));
    EXPECT_EQ(floats_of(mine.v.bias), cut(floats_of(all.v.bias), times(shard.kv_heads, 32)));
    EXPECT_EQ(floats_of(mine.gate.bias), cut(floats_of(all.gate.bias), shard.ffn));
    EXPECT_EQ(floats_of(mine.o.bias), rank == 0 ? floats_of(all.o.bias) : std::vector<float>());
    EXPECT_EQ(floats_of(mine.down.bias), rank == 0 ? floats_of(all.down.bias) : std::vector<float>());
    EXPECT_EQ(floats_of(part.head.bias), cut(floats_of(whole.head.bias), shard.vocab));
  }
  EXPECT_EQ(loaded.load(0, 1).layers[0].attention_norm.bytes(), 64 * sizeof(float));
}

TEST(WeightsTest, ReportsProgressInBytesOfThisRank) {
  const LoadedModel loaded(make_tiny_model());
  size_t calls = 0;
  size_t last = 0;
  size_t whole = 0;
  LoadingBackend backend;
  load_weights(loaded.file, loaded.model, make_shard(loaded.model, 0, 2), backend, [&](size_t done, size_t total) {
    EXPECT_GT(done, last);
    last = done;
    whole = total;
    ++calls;
  });
  EXPECT_EQ(calls, 15u);  // 7 layers of each of 2 blocks, the head
  EXPECT_EQ(last, whole);
  const size_t floats = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 64) + 32 * 64;  // 2 heads, 1 KV head, 64 of 96 FFN columns, 32 of 100 ids
  EXPECT_EQ(whole, floats * sizeof(float));
}

void expect_refused(const GgufBuilder& builder, ErrorCode code, std::string_view part) {
  try {
    LoadedModel(builder).load(0, 1);
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
  }
}

TEST(WeightsTest, NamesTheTensorThatIsMissingWrongOrUnknown) {
  GgufBuilder vocabulary;
  vocabulary.add_string("general.architecture", "llama").add_u32("llama.block_count", 1).add_u32("llama.embedding_length", 32);
  vocabulary.add_u32("llama.attention.head_count", 1).add_u32("llama.feed_forward_length", 32).add_u32("llama.context_length", 10);
  vocabulary.add_u32("llama.vocab_size", 5);
  expect_refused(vocabulary, ErrorCode::kModelCorrupt, "lacks tensor \"blk.0.attn_q.weight\" of shape [32, 32]; it holds only a vocabulary");
  vocabulary.add_f32_tensor("blk.0.attn_q.weight", {16, 32}, std::vector<float>(512));
  expect_refused(vocabulary, ErrorCode::kModelCorrupt, "\"blk.0.attn_q.weight\" has shape [16, 32], but the model's metadata ask for [32, 32]");
  GgufBuilder more = make_tiny_model();
  more.add_f32_tensor("blk.0.attn_q_norm.weight", {32}, std::vector<float>(32, 1.0f));
  expect_refused(more, ErrorCode::kModelUnsupported, "\"blk.0.attn_q_norm.weight\", which terrace does not use");
}

TEST(WeightsTest, RefusesToCutAQuantisationBlock) {
  TinyModelOptions options;
  options.format = DType::kQ8_0;
  options.head_dim = 16;
  const LoadedModel loaded(make_tiny_model(options));
  EXPECT_NO_THROW(loaded.load(0, 2));
  EXPECT_THROW(loaded.load(0, 4), Error);
}

TEST(WeightsTest, QuantisesTheInputsOfDownAndHeadFinely) {
  const DecoderWeights weights = LoadedModel(make_tiny_model()).load(0, 1);
  const auto fine = [](const LinearLayer& layer) { return dynamic_cast<const FloatWeight&>(*layer.weight).fine_activations; };
  EXPECT_TRUE(fine(weights.layers[0].down));
  EXPECT_TRUE(fine(weights.head));
  EXPECT_FALSE(fine(weights.layers[0].q));
}

}  // namespace
}  // namespace terrace
