// The CPU backend: owns the thread pool, what a step's ops share (rotation table, attention plan) and their scratch.
// Used from the rank's step thread, which is thread 0 of the pool. Every float kernel comes in a scalar and a vector
// version of equal bits.
//
// On all its threads, the step thread included, subnormal floats count as zero (FTZ and DAZ): they cost a hundredfold
// and carry nothing. Both versions of a kernel see the same setting, so bits stay equal.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/rope_table.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/sample.h"

namespace terrace {

class CpuBackend : public Backend {
 public:
  /// `isa`: no higher than the machine's.
  CpuBackend(const BackendOptions& options, Isa isa);

  std::string describe() const override;
  /// Neither the ISA nor the threads (LAW 4), but whether Numerics::kFast has found bfloat16. The number is raised by whoever changes any bit of K or V.
  std::string arithmetic() const override;
  void check_sparse_reading(const SparseReading&) const override {}
  Buffer allocate(size_t bytes) override;
  Buffer upload(std::span<const float> values) override;
  void write(void* dst, std::span<const std::byte> src) override;
  void read(const void* src, std::span<std::byte> dst) override;
  std::unique_ptr<PageMover> make_page_mover(const PageMoverOptions& options) override;
  std::unique_ptr<PageCodec> make_page_codec(const PageLayout& device, const PageLayout& stored) const override;
  void for_each(int64_t count, FunctionRef<void(int64_t)> body) override;
  MachineLimits measure_limits(size_t set_bytes) override;
  std::unique_ptr<Weight> pack_linear(const HostMatrix& matrix, const PackOptions& options) override;
  size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const override;
  std::unique_ptr<Weight> make_embedding(const HostMatrix& matrix) override;

  void begin_step(const StepBatch& batch) override;
  void embed(const Weight& table, float scale, MatrixView out) override;
  void rms_norm(MatrixView x, const float* weight, float eps, MatrixView out) override;
  void add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out) override;
  void linear(MatrixView x, std::span<const LinearOutput> outputs) override;
  void gated_linear(MatrixView x, const LinearOutput& gate, const LinearOutput& up, GateActivation activation) override;
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
  /// Calls body(row) for each row; on the step thread alone where the rows hold little.
  template <class Body>
  void for_each_row(int64_t num_rows, int64_t floats_per_row, Body body);
  auto gate_row(GateActivation activation) const {
    return activation == GateActivation::kSilu ? rows_.silu_gate : rows_.gelu_gate;
  }
  void rotate_and_store_token(const RopeKvArgs& args, int64_t token);
  void summarise_full_pages(const RopeKvArgs& args);

  Isa isa_;
  ThreadPool pool_;
  const RowOps& rows_;
  LinearOps linear_;
  StepBatch batch_;
  RopeTable rope_;
  bool bf16_;  // attention multiplies it
  PagedAttention attention_;
  TopSelector selector_;
};

}  // namespace terrace
