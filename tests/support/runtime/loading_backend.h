// A Backend that only loads: keeps every packed weight as floats, so that tests see what a rank got. Its step ops throw.
#pragma once

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "kernels/backend.h"
#include "kernels/quant_block.h"

namespace terrace {

class FloatWeight : public Weight {
 public:
  FloatWeight(const HostMatrix& matrix, const PackOptions& options)
      : fine_activations(options.fine_activations), rows_(matrix.rows), cols_(matrix.cols) {
    values.resize(static_cast<size_t>(rows_ * cols_));
    for (int64_t row = 0; row < rows_; ++row) {
      dequantize_row(matrix.dtype, matrix.data + static_cast<size_t>(row) * matrix.row_bytes, matrix.first_col, cols_, &values[row * cols_]);
    }
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  size_t bytes() const override { return values.size() * sizeof(float); }

  std::vector<float> values;  // [rows, cols]
  bool fine_activations;

 private:
  int64_t rows_;
  int64_t cols_;
};

class LoadingBackend : public Backend {
 public:
  std::string describe() const override { return "loading only"; }
  std::string arithmetic() const override { return "none"; }
  Buffer allocate(size_t bytes) override {
    return Buffer(static_cast<std::byte*>(std::calloc(1, bytes)), bytes, [](std::byte* data, size_t) { std::free(data); });
  }
  Buffer upload(std::span<const float> values) override {
    Buffer buffer = allocate(values.size_bytes());
    std::memcpy(buffer.data(), values.data(), values.size_bytes());
    return buffer;
  }
  void write(void* dst, std::span<const std::byte> src) override { std::memcpy(dst, src.data(), src.size()); }
  void read(const void* src, std::span<std::byte> dst) override { std::memcpy(dst.data(), src, dst.size()); }
  std::unique_ptr<PageMover> make_page_mover(const PageMoverOptions&) override { refuse(); }
  std::unique_ptr<Weight> pack_linear(const HostMatrix& matrix, const PackOptions& options) override {
    return std::make_unique<FloatWeight>(matrix, options);
  }
  std::unique_ptr<Weight> make_embedding(const HostMatrix& matrix) override {
    return std::make_unique<FloatWeight>(matrix, PackOptions{});
  }

  void begin_step(const StepBatch&) override { refuse(); }
  void embed(const Weight&, float, MatrixView) override { refuse(); }
  void rms_norm(MatrixView, const float*, float, MatrixView) override { refuse(); }
  void linear(MatrixView, std::span<const LinearOutput>) override { refuse(); }
  void rope_and_store_kv(const RopeKvArgs&) override { refuse(); }
  void copy_pages(const KvPool&, std::span<const FrameCopy>) override { refuse(); }
  void attention(const AttentionArgs&) override { refuse(); }
  void activate_gate(MatrixView, MatrixView, GateActivation) override { refuse(); }
  void add(MatrixView, MatrixView) override { refuse(); }
  void gather_rows(MatrixView, std::span<const int32_t>, MatrixView) override { refuse(); }
  void select_top(MatrixView, int, std::span<TopLogits>) override { refuse(); }
  void download(MatrixView, float*) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw std::logic_error("LoadingBackend runs no steps"); }
};

}  // namespace terrace
