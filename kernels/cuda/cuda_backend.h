// The CUDA backend: ops as kernels on one stream of one device; nothing waits for the device but read(), download() and select_top().
// Owns what a step's ops share: the step's arrays on the device, attention's plan, linear's scratch. Used from the rank's step thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/cuda_attention.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_graphs.h"
#include "kernels/cuda/cuda_linear.h"
#include "kernels/cuda/cuda_selector.h"
#include "kernels/cuda/step_arrays.h"

namespace terrace {

class CudaBackend : public Backend {
 public:
  /// Throws kInvalidValue where there is no driver or device.
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  std::string describe() const override;
  /// cuBLASLt chooses by the device. The number is raised by whoever changes any bit of K or V.
  std::string arithmetic() const override { return "arithmetic 1 of " + describe(); }
  void check_sparse_reading(const SparseReading& sparse) const override;
  Buffer allocate(size_t bytes) override;
  Buffer upload(std::span<const float> values) override;
  void write(void* dst, std::span<const std::byte> src) override;
  void read(const void* src, std::span<std::byte> dst) override;
  std::optional<size_t> free_memory() const override;
  std::unique_ptr<PageMover> make_page_mover(const PageMoverOptions& options) override;
  std::unique_ptr<PageCodec> make_page_codec(const PageLayout& device, const PageLayout& stored) const override;
  bool reads_host_pages() const override;
  void* stream() const override;
  void for_each(int64_t count, FunctionRef<void(int64_t)> body) override;
  MachineLimits measure_limits(size_t set_bytes) override;
  std::unique_ptr<Weight> pack_linear(const HostMatrix& matrix, const PackOptions& options) override;
  size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const override;
  std::unique_ptr<Weight> make_embedding(const HostMatrix& matrix) override;

  void begin_step(const StepBatch& batch) override;
  int64_t padded_tokens(int64_t num_tokens) const override;
  void run_graph(uint64_t key, FunctionRef<void()> ops) override;
  void forget_graphs() override;
  void embed(const Weight& table, float scale, MatrixView out) override;
  void rms_norm(MatrixView x, const float* weight, float eps, MatrixView out) override;
  void add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out) override;
  void linear(MatrixView x, std::span<const LinearOutput> outputs) override;
  void rope_and_store_kv(const RopeKvArgs& args) override;
  void copy_pages(const KvPool& kv, std::span<const FrameCopy> copies) override;
  void attention(const AttentionArgs& args) override;
  ReadingStats take_reading() override { return attention_.take_reading(); }
  void activate_gate(MatrixView gate, MatrixView up, GateActivation activation) override;
  void add(MatrixView x, MatrixView delta) override;
  void gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst) override;
  void select_top(MatrixView logits, int count, std::span<TopLogits> out) override;
  void download(MatrixView src, float* dst) override;

 private:
  CudaDevice device_;  // first: outlives what holds its memory
  BackendOptions options_;
  StepBatch batch_;  // of the step
  StepArrays arrays_;
  CudaSelector selector_;
  ThreadPool host_threads_;
  CudaLinear linear_;
  CudaAttention attention_;
  CudaGraphs graphs_;
};

}  // namespace terrace
