#include <cmath>

#include "runtime/model/random_blocks.h"
#include "runtime/model/weight_source.h"

namespace terrace {
namespace {

/// Makes each slice in a scratch when it is asked for.
class RandomSource : public WeightSource {
 public:
  RandomSource(const ModelConfig& model, DType format) : model_(model), format_(format) {}

  DType dtype(const MatrixSlice& slice) override { return fitting_format(slice.total_cols); }

  HostMatrix matrix(const MatrixSlice& slice) override {
    const DType dtype = fitting_format(slice.total_cols);
    const int64_t block = dtype_info(dtype).block_elements;
    const int64_t first_block = slice.cols.begin / block;
    const int64_t num_blocks = (slice.cols.end + block - 1) / block - first_block;
    HostMatrix matrix;
    matrix.dtype = dtype;
    matrix.rows = slice.rows.size();
    matrix.cols = slice.cols.size();
    matrix.first_col = slice.cols.begin - first_block * block;
    matrix.row_bytes = dtype_bytes(dtype, num_blocks * block);
    scratch_.resize(static_cast<size_t>(matrix.rows) * matrix.row_bytes);
    matrix.data = scratch_.data();
    fill(slice.tensor, slice.rows, first_block, num_blocks, dtype, slice.total_cols, scratch_.data());
    return matrix;
  }

  HostMatrix embedding(std::unique_ptr<std::byte[]>& storage) override {
    const DType dtype = fitting_format(model_.hidden_size);
    const size_t row_bytes = dtype_bytes(dtype, model_.hidden_size);
    storage = std::make_unique_for_overwrite<std::byte[]>(embedding_bytes());
    const int64_t num_blocks = model_.hidden_size / dtype_info(dtype).block_elements;
    fill("token_embd", {0, model_.vocab_size}, 0, num_blocks, dtype, model_.hidden_size, storage.get());
    return {dtype, model_.vocab_size, model_.hidden_size, 0, storage.get(), row_bytes};
  }

  size_t embedding_bytes() const override {
    return static_cast<size_t>(model_.vocab_size) * dtype_bytes(fitting_format(model_.hidden_size), model_.hidden_size);
  }
  size_t table_bytes() override { return embedding_bytes(); }

  std::vector<float> norm(std::string_view, int32_t size) override { return std::vector<float>(static_cast<size_t>(size), 1.0f); }
  std::vector<float> bias(const MatrixSlice&) override { return {}; }
  void will_need(const MatrixSlice&) override {}
  void release(const MatrixSlice&) override {}
  void finish() override {}

 private:
  /// Rows that are no multiple of a K-quant's super-block (ffn 11008 / 256 is, hidden 576 is not) fall back to Q8_0, as llama.cpp's
  /// quantiser does with small models.
  DType fitting_format(int64_t cols) const {
    return cols % dtype_info(format_).block_elements == 0 ? format_ : DType::kQ8_0;
  }

  /// Inputs of a linear layer are about 1 in size (normed, or gated); a deviation of 1 / sqrt(cols) keeps its outputs there too.
  static void fill(std::string_view name, Range rows, int64_t first_block, int64_t num_blocks, DType dtype, int64_t total_cols, std::byte* out) {
    const uint64_t key = random_key(name.data(), name.size());
    const auto deviation = static_cast<float>(1 / std::sqrt(static_cast<double>(total_cols)));
    const size_t row_bytes = static_cast<size_t>(num_blocks) * dtype_info(dtype).block_bytes;
    for (int32_t row = rows.begin; row < rows.end; ++row, out += row_bytes) {
      fill_random_blocks(dtype, key, row, first_block, num_blocks, deviation, out);
    }
  }

  const ModelConfig& model_;
  DType format_;
  std::vector<std::byte> scratch_;  // of the latest matrix()
};

}  // namespace

std::unique_ptr<WeightSource> make_random_source(const ModelConfig& model, DType format) {
  return std::make_unique<RandomSource>(model, format);
}

}  // namespace terrace
