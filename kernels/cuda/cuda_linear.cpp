#include "kernels/cuda/cuda_linear.h"

#include <algorithm>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/activation_kernels.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_weight.h"
#include "kernels/cuda/gemm_kernels.h"

namespace terrace {
namespace {

const CudaWeight& packed(const LinearOutput& output) { return static_cast<const CudaWeight&>(*output.weight); }

void check(MatrixView x, const LinearOutput& output) {
  if (output.weight->cols() != x.cols || output.out.cols != output.weight->rows() || output.out.rows != x.rows) {
    throw Error(ErrorCode::kInternal, "linear: the shapes of x, weight and out do not fit");
  }
}

/// Device memory that only grows. What it grew out of is kept, since a graph may hold its address: at most as much again.
class Scratch {
 public:
  std::byte* at_least(CudaDevice& device, size_t bytes) {
    if (buffers_.empty() || buffers_.back().bytes() < bytes) {
      buffers_.push_back(device.allocate(std::max(bytes, buffers_.empty() ? 0 : 2 * buffers_.back().bytes())));
    }
    return buffers_.back().data();
  }

 private:
  std::vector<Buffer> buffers_;
};

}  // namespace

struct CudaLinear::State {
  CudaDevice& device;
  ThreadPool pool;  // packs weights
  Scratch rows;

  State(CudaDevice& on, const BackendOptions& options) : device(on), pool(options.num_threads, false) {}

  DeviceRows convert(MatrixView x);
};

DeviceRows CudaLinear::State::convert(MatrixView x) {
  DeviceRows to;
  to.num_rows = static_cast<int>(x.rows);
  to.padded_rows = (to.num_rows + 15) / 16 * 16;
  to.num_stages = static_cast<int>((x.cols + kStageColumns - 1) / kStageColumns);
  const size_t padded_rows = static_cast<size_t>(to.padded_rows), num_stages = static_cast<size_t>(to.num_stages);
  const size_t value_bytes = padded_rows * num_stages * kStageColumns * sizeof(uint16_t);
  const size_t sum_bytes = padded_rows * num_stages * kStageGroups * sizeof(float);
  std::byte* memory = rows.at_least(device, value_bytes + sum_bytes + padded_rows * sizeof(float));
  uint16_t* values = reinterpret_cast<uint16_t*>(memory);
  float* sums = reinterpret_cast<float*>(memory + value_bytes);
  float* scale = reinterpret_cast<float*>(memory + value_bytes + sum_bytes);
  launch_convert_rows({.x = x.data, .stride = x.stride, .num_rows = to.num_rows, .padded_rows = to.padded_rows, .cols = static_cast<int>(x.cols),
                       .num_stages = to.num_stages, .values = values, .sums = sums, .scale = scale},
                      device.stream());
  to.values = values;
  to.sums = sums;
  to.scale = scale;
  return to;
}

CudaLinear::CudaLinear(CudaDevice& device, const BackendOptions& options) : state_(std::make_unique<State>(device, options)) { prepare_gemm(); }

CudaLinear::~CudaLinear() = default;

std::unique_ptr<Weight> CudaLinear::pack(const HostMatrix& matrix, const PackOptions&) {
  return std::make_unique<CudaWeight>(matrix, state_->device, state_->pool);
}

size_t CudaLinear::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions&) const {
  return CudaWeight::packed_bytes(dtype, rows, cols);
}

void CudaLinear::run(MatrixView x, std::span<const LinearOutput> outputs) {
  for (const LinearOutput& output : outputs) check(x, output);
  if (x.rows == 0 || outputs.empty()) return;
  const DeviceRows rows = state_->convert(x);
  for (const LinearOutput& output : outputs) {
    launch_gemm({.x = rows, .weight = packed(output).device(), .out = output.out.data, .out_stride = output.out.stride, .bias = output.bias},
                state_->device.stream());
  }
}

}  // namespace terrace
