#include <fmt/format.h>

#include <unordered_set>

#include "kernels/base/error.h"
#include "runtime/model/gguf_reader.h"
#include "runtime/model/mapped_file.h"
#include "runtime/model/tensor_values.h"
#include "runtime/model/weight_source.h"

namespace terrace {
namespace {

constexpr int32_t kColumnGranule = 32;  // where HostMatrix lets a quantised row be cut

/// Reads slices where they lie in the mapped file.
class GgufSource : public WeightSource {
 public:
  GgufSource(const GgufFile& file, const ModelConfig& model, const Shard& shard) : file_(file), model_(model), shard_(shard) {
    if (file.find_tensor("rope_freqs.weight") != nullptr) known_.insert("rope_freqs.weight");  // read_model_config() took it
  }

  DType dtype(const MatrixSlice& slice) override { return find(slice).dtype; }

  HostMatrix matrix(const MatrixSlice& slice) override {
    const GgufTensor& tensor = find(slice);
    check_cut(slice, tensor);
    check_finite(file_, tensor, slice.rows, slice.cols);
    HostMatrix matrix;
    matrix.dtype = tensor.dtype;
    matrix.rows = slice.rows.size();
    matrix.cols = slice.cols.size();
    matrix.first_col = slice.cols.begin;
    matrix.row_bytes = tensor.row_bytes();
    matrix.data = tensor.data + static_cast<size_t>(slice.rows.begin) * matrix.row_bytes;
    return matrix;
  }

  HostMatrix embedding(std::unique_ptr<std::byte[]>&) override {
    const GgufTensor& tensor = take(std::string(kEmbeddingName), {model_.vocab_size, model_.hidden_size});
    return {tensor.dtype, model_.vocab_size, model_.hidden_size, 0, tensor.data, tensor.row_bytes()};
  }

  size_t embedding_bytes() const override { return 0; }
  size_t table_bytes() override { return take(std::string(kEmbeddingName), {model_.vocab_size, model_.hidden_size}).bytes; }

  std::vector<float> norm(std::string_view name, int32_t size) override {
    return read_values(file_, take(std::string(name), {size}), 0, size);
  }

  std::vector<float> bias(const MatrixSlice& slice) override {
    const std::string name = slice.tensor + ".bias";
    if (file_.find_tensor(name) == nullptr) return {};
    const GgufTensor& tensor = take(name, {slice.total_rows});
    if (slice.cuts_columns() && shard_.rank != 0) return {};  // partial sums: the bias is added once
    return read_values(file_, tensor, slice.rows.begin, slice.rows.size());
  }

  void will_need(const MatrixSlice& slice) override { advise_pages(touched_bytes(slice), PageAdvice::kWillNeed); }
  void release(const MatrixSlice& slice) override { advise_pages(touched_bytes(slice), PageAdvice::kForget); }

  void finish() override {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (known_.contains(tensor.name) || tensor.name.ends_with(".rope_freqs.weight")) continue;
      throw Error(ErrorCode::kModelUnsupported,
                  fmt::format("{} holds tensor {}, which terrace does not use for architecture {}; without it the answers would be wrong.",
                              file_.path(), quote_for_message(tensor.name), model_.architecture));
    }
  }

 private:
  const GgufTensor& take(const std::string& name, const std::vector<int64_t>& shape) {
    const GgufTensor& tensor = get_tensor(file_, name, shape);
    known_.insert(tensor.name);
    return tensor;
  }

  const GgufTensor& find(const MatrixSlice& slice) { return take(slice.tensor + ".weight", {slice.total_rows, slice.total_cols}); }

  std::span<const std::byte> touched_bytes(const MatrixSlice& slice) {
    const GgufTensor& tensor = find(slice);
    return {tensor.data + static_cast<size_t>(slice.rows.begin) * tensor.row_bytes(), static_cast<size_t>(slice.rows.size()) * tensor.row_bytes()};
  }

  void check_cut(const MatrixSlice& slice, const GgufTensor& tensor) const {
    const DTypeInfo& info = dtype_info(tensor.dtype);
    if (info.block_elements == 1 || (slice.cols.begin % kColumnGranule == 0 && slice.cols.size() % kColumnGranule == 0)) return;
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("{}: {} in {} cannot be cut at column {} (heads of {}), only at multiples of {}. Choose a number of ranks whose shares "
                            "of the heads are multiples of {}.", file_.path(), quote_for_message(tensor.name), info.name,
                            slice.cols.begin % kColumnGranule != 0 ? slice.cols.begin : slice.cols.end, model_.head_dim, kColumnGranule,
                            kColumnGranule));
  }

  const GgufFile& file_;
  const ModelConfig& model_;
  const Shard& shard_;
  std::unordered_set<std::string_view> known_;  // names in the file
};

}  // namespace

std::unique_ptr<WeightSource> make_gguf_source(const GgufFile& file, const ModelConfig& model, const Shard& shard) {
  return std::make_unique<GgufSource>(file, model, shard);
}

}  // namespace terrace
