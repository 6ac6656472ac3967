// Where a rank's weights come from: a model file or random numbers. Used by one thread, while loading.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/base/tensor.h"
#include "runtime/config.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weight_layout.h"

namespace terrace {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual DType dtype(const MatrixSlice& slice) = 0;
  /// Valid until the next call of matrix().
  virtual HostMatrix matrix(const MatrixSlice& slice) = 0;
  /// The whole embedding table, [vocab, hidden], valid as long as the model file or `storage`.
  virtual HostMatrix embedding(std::unique_ptr<std::byte[]>& storage) = 0;
  /// Bytes of memory that embedding() would put into `storage`.
  virtual size_t embedding_bytes() const = 0;
  /// Bytes of the whole embedding table, wherever it lies.
  virtual size_t table_bytes() = 0;
  virtual std::vector<float> norm(std::string_view name, int32_t size) = 0;
  /// The bias of this rank's output features; of a layer cut by columns the whole bias on rank 0 and none on others. Empty: no bias.
  virtual std::vector<float> bias(const MatrixSlice& slice) = 0;
  /// matrix(slice) will be wanted soon, or is not wanted again.
  virtual void will_need(const MatrixSlice& slice) = 0;
  virtual void release(const MatrixSlice& slice) = 0;
  /// All has been asked for. Throws where something of the model was not.
  virtual void finish() = 0;
};

/// `file` must outlive the source.
std::unique_ptr<WeightSource> make_gguf_source(const GgufFile& file, const ModelConfig& model, const Shard& shard);
/// Values depend on tensor, row and column alone, not on the shard.
std::unique_ptr<WeightSource> make_random_source(const ModelConfig& model, DType format);

}  // namespace terrace
