#include "kernels/cuda/cuda_linear.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cuda/activation_kernels.h"
#include "kernels/cuda/cublas_matmul.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_weight.h"
#include "kernels/cuda/dequantise_kernels.h"
#include "kernels/cuda/gemm_kernels.h"
#include "kernels/cuda/gemv_kernels.h"

namespace terrace {
namespace {

constexpr int64_t kMostTileRows = 64;              // beyond, dequantising once and the library's product cost less (numerics: fast)
constexpr size_t kSliceBytes = size_t{32} << 20;  // dequantised at a time: stays in the second-level cache of compute capability 9.0

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
  Numerics numerics;
  ThreadPool& pool;
  Scratch converted, largest, dequantised, factor, partials;
  std::vector<DeviceProduct> products;  // of the call under way
  std::optional<CublasMatmul> library;  // made when first needed

  State(CudaDevice& on, const BackendOptions& options, ThreadPool& threads) : device(on), numerics(options.numerics), pool(threads) {}

  DeviceRows convert(MatrixView x, bool one_scale);
  void multiply_by_library(const DeviceProduct& product);
  void multiply_in_splits(DeviceProduct product);
};

/// x as f16, with a scale for each row, or one for all.
DeviceRows CudaLinear::State::convert(MatrixView x, bool one_scale) {
  const size_t padded_rows = static_cast<size_t>((x.rows + 15) / 16 * 16);
  const size_t num_stages = static_cast<size_t>((x.cols + kStageColumns - 1) / kStageColumns);
  const size_t value_bytes = padded_rows * num_stages * kStageColumns * sizeof(uint16_t);
  const size_t sum_bytes = padded_rows * num_stages * kStageGroups * sizeof(float);
  std::byte* memory = converted.at_least(device, value_bytes + sum_bytes + padded_rows * sizeof(float));
  const bool aligned = reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.stride % 4 == 0 && x.cols % kGroupColumns == 0;
  ConvertRows args = {.x = x.data,
                      .stride = x.stride,
                      .num_rows = static_cast<int>(x.rows),
                      .padded_rows = static_cast<int>(padded_rows),
                      .cols = static_cast<int>(x.cols),
                      .num_stages = static_cast<int>(num_stages),
                      .aligned = aligned,
                      .values = reinterpret_cast<uint16_t*>(memory),
                      .sums = reinterpret_cast<float*>(memory + value_bytes),
                      .scale = reinterpret_cast<float*>(memory + value_bytes + sum_bytes)};
  if (one_scale) {
    float* of_rows = reinterpret_cast<float*>(largest.at_least(device, padded_rows * sizeof(float)));
    launch_largest_of_rows(args, of_rows, device.stream());
    args.largest = of_rows;
  }
  launch_convert_rows(args, device.stream());
  return {.values = args.values, .sums = args.sums, .scale = args.scale, .num_rows = args.num_rows, .padded_rows = args.padded_rows,
          .num_stages = args.num_stages};
}

/// x has one scale for all rows.
void CudaLinear::State::multiply_by_library(const DeviceProduct& product) {
  if (!library) library.emplace(device);
  const DeviceWeight& weight = product.weight;
  const int cols = weight.num_stages * kStageColumns;
  float* alpha = reinterpret_cast<float*>(factor.at_least(device, sizeof(float)));
  launch_multiply_scalar(product.x.scale, weight.scale, alpha, device.stream());
  const bool as_they_lie = weight.kind == CodeKind::kHalves;
  const size_t row_bytes = static_cast<size_t>(cols) * sizeof(uint16_t);
  const int per_slice = static_cast<int>(std::max<size_t>(kSliceBytes / row_bytes / kStripOutputs, 1)) * kStripOutputs;
  for (int first = 0; first < weight.num_outputs; first += as_they_lie ? weight.num_outputs : per_slice) {
    const int count = as_they_lie ? weight.num_outputs : std::min(per_slice, weight.num_outputs - first);
    const uint16_t* rows = reinterpret_cast<const uint16_t*>(weight.data);
    if (!as_they_lie) {
      uint16_t* slice = reinterpret_cast<uint16_t*>(dequantised.at_least(device, static_cast<size_t>(count) * row_bytes));
      launch_dequantise(weight, first, count, slice, device.stream());
      rows = slice;
    }
    library->run({.x = product.x.values, .weight = rows, .rows = product.x.num_rows, .outputs = count, .cols = cols, .alpha = alpha,
                  .bias = product.bias == nullptr ? nullptr : product.bias + first, .out = product.out + first, .out_stride = product.out_stride});
  }
}

void CudaLinear::State::multiply_in_splits(DeviceProduct product) {
  product.num_splits = useful_splits(product.weight, product.x.num_rows, device.num_multiprocessors());
  if (product.num_splits > 1) {
    const size_t floats = static_cast<size_t>(int64_t{product.num_splits} * product.x.num_rows * product.weight.num_outputs);
    product.partials = reinterpret_cast<float*>(partials.at_least(device, floats * sizeof(float)));
  }
  launch_gemm(product, device.stream());
}

CudaLinear::CudaLinear(CudaDevice& device, const BackendOptions& options, ThreadPool& pool)
    : state_(std::make_unique<State>(device, options, pool)) {
  prepare_gemm();
}

CudaLinear::~CudaLinear() = default;

std::unique_ptr<Weight> CudaLinear::pack(const HostMatrix& matrix, const PackOptions&) {
  return std::make_unique<CudaWeight>(matrix, state_->device, state_->pool);
}

size_t CudaLinear::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions&) const {
  return CudaWeight::packed_bytes(dtype, rows, cols);
}

size_t CudaLinear::scratch_bytes() const {
  constexpr size_t kRowBytes = size_t{128} << 20;  // e.g. 2,048 rows of 28,672 columns, and what the scratch grew out of
  return kRowBytes + (state_->numerics != Numerics::kInvariant ? kSliceBytes + CublasMatmul::kWorkspaceBytes : 0);
}

void CudaLinear::run(MatrixView x, std::span<const LinearOutput> outputs) {
  for (const LinearOutput& output : outputs) check(x, output);
  if (x.rows == 0 || outputs.empty()) return;
  const bool fast = state_->numerics != Numerics::kInvariant;
  const bool by_library = fast && x.rows > kMostTileRows;
  const DeviceRows rows = state_->convert(x, by_library);
  std::vector<DeviceProduct>& products = state_->products;
  products.clear();
  for (const LinearOutput& output : outputs) {
    products.push_back({.x = rows, .weight = packed(output).device(), .out = output.out.data, .out_stride = output.out.stride, .bias = output.bias});
  }
  if (fast && x.rows <= kGemvRows) return launch_gemv(products.data(), static_cast<int>(products.size()), state_->device.stream());
  for (const DeviceProduct& product : products) {
    if (by_library) {
      state_->multiply_by_library(product);
    } else if (fast) {
      state_->multiply_in_splits(product);
    } else {
      launch_gemm(product, state_->device.stream());
    }
  }
}

}  // namespace terrace
