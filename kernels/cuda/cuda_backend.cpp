#include "kernels/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_embedding.h"
#include "kernels/cuda/cuda_limits.h"
#include "kernels/cuda/cuda_page_codec.h"
#include "kernels/cuda/cuda_page_mover.h"
#include "kernels/cuda/hadamard_kernels.h"
#include "kernels/cuda/page_summary_kernels.h"
#include "kernels/cuda/rope_kernels.h"
#include "kernels/cuda/row_kernels.h"

namespace terrace {

CudaBackend::CudaBackend(const BackendOptions& options)
    : device_(options.device), options_(options), arrays_(device_), selector_(device_), host_threads_(options.num_threads, false), linear_(device_, options, host_threads_), attention_(device_, options), graphs_(device_) {}

CudaBackend::~CudaBackend() = default;

std::string CudaBackend::describe() const {
  const cudaDeviceProp& device = device_.properties();
  return fmt::format("cuda {} (sm_{}{}, {} GiB), {}", device.name, device.major, device.minor, device.totalGlobalMem >> 30,
                     options_.numerics == Numerics::kInvariant ? "invariant numerics" : "fast numerics");
}

// What `bounded` leaves out is proven from the log-sum-exp of what it reads: a step's plan would depend on what the device finds out in its middle.
void CudaBackend::check_sparse_reading(const SparseReading& sparse) const {
  if (sparse.mode == SparseReading::Mode::kBounded) {
    throw Error(ErrorCode::kInvalidValue, "attention.sparse.mode bounded: a CUDA device reads a number of pages that is known beforehand; set it to top, or say backend: cpu");
  }
}

Buffer CudaBackend::allocate(size_t bytes) { return device_.allocate(bytes); }

Buffer CudaBackend::upload(std::span<const float> values) {
  Buffer buffer = device_.allocate(values.size_bytes());
  device_.write(buffer.data(), std::as_bytes(values));
  return buffer;
}

void CudaBackend::write(void* dst, std::span<const std::byte> src) { device_.write(dst, src); }

void CudaBackend::read(const void* src, std::span<std::byte> dst) { device_.read(src, dst); }

std::optional<size_t> CudaBackend::free_memory() const {
  const size_t free = device_.free_memory();
  return free - std::min(free, linear_.scratch_bytes());
}

std::unique_ptr<PageMover> CudaBackend::make_page_mover(const PageMoverOptions& options) { return std::make_unique<CudaPageMover>(device_, options); }

std::unique_ptr<PageCodec> CudaBackend::make_page_codec(const PageLayout& device, const PageLayout& stored) const { return std::make_unique<CudaPageCodec>(device, stored); }

// The pool is registered chunk by chunk: only where a device has registered memory at the host's addresses are the chunks one range there too.
bool CudaBackend::reads_host_pages() const {
  const cudaDeviceProp& device = device_.properties();
  return device.unifiedAddressing != 0 && device.canUseHostPointerForRegisteredMem != 0;
}

void CudaBackend::for_each(int64_t count, FunctionRef<void(int64_t)> body) {
  host_threads_.parallel_for(count, 1, [&](int64_t index, int64_t) { body(index); });
}

MachineLimits CudaBackend::measure_limits(size_t set_bytes) {
  device_.make_current();
  return measure_device_limits(device_, set_bytes);
}

void* CudaBackend::stream() const { return device_.stream(); }

std::unique_ptr<Weight> CudaBackend::pack_linear(const HostMatrix& matrix, const PackOptions& options) { return linear_.pack(matrix, options); }

size_t CudaBackend::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const {
  return linear_.packed_bytes(dtype, rows, cols, options);
}

std::unique_ptr<Weight> CudaBackend::make_embedding(const HostMatrix& matrix) { return std::make_unique<CudaEmbedding>(device_, matrix); }

void CudaBackend::begin_step(const StepBatch& batch) {
  device_.make_current();
  batch_ = batch;
  const auto num_tokens = static_cast<int64_t>(batch.tokens.size());
  const auto rows = static_cast<size_t>(batch.is_decode() ? padded_tokens(num_tokens) : num_tokens);
  std::vector<int32_t> tokens(batch.tokens.begin(), batch.tokens.end());
  std::vector<int32_t> positions(batch.positions.begin(), batch.positions.end());
  tokens.resize(rows);  // rows of no token
  positions.resize(rows);

  arrays_.begin();
  arrays_.add<int32_t>(tokens);  // in the order that StepArrays says
  arrays_.add<int32_t>(positions);
  for (int32_t group = 0; group < batch.num_groups; ++group) {
    const std::span<const uint32_t> frames = batch.frames_of(group);
    std::vector<uint32_t> frame_of_token(rows, StepArrays::kNoFrame);
    std::ranges::transform(batch.kv_page, frame_of_token.begin(), [&](int32_t page) { return frames[static_cast<size_t>(page)]; });
    arrays_.add<uint32_t>(frame_of_token);
    arrays_.add(frames);
  }
  attention_.begin_step(batch, arrays_);
  arrays_.upload();
}

int64_t CudaBackend::padded_tokens(int64_t num_tokens) const {
  if (!options_.graphs) return num_tokens;
  if (num_tokens <= 2) return num_tokens;
  const int64_t step = num_tokens <= 4 ? 4 : num_tokens <= 128 ? 8 : 64;
  return (num_tokens + step - 1) / step * step;
}

void CudaBackend::run_graph(uint64_t key, FunctionRef<void()> ops) {
  if (!options_.graphs) return ops();
  graphs_.run(key, arrays_.generation() + attention_.generation(), ops);
}

void CudaBackend::forget_graphs() { graphs_.forget(); }

void CudaBackend::embed(const Weight& table, float scale, MatrixView out) {
  for (const int32_t token : batch_.tokens) {
    if (token < 0 || token >= table.rows()) throw Error(ErrorCode::kInternal, fmt::format("embed: token {} of an embedding with {} rows", token, table.rows()));
  }
  launch_embed(static_cast<const CudaEmbedding&>(table).table(), arrays_.slot<int32_t>(StepArrays::kTokens), scale, out, device_.stream());
}

void CudaBackend::rms_norm(MatrixView x, const float* weight, float eps, MatrixView out) { launch_rms_norm(x, weight, eps, out, device_.stream()); }

void CudaBackend::add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out) {
  launch_add_rms_norm(x, delta, weight, eps, out, device_.stream());
}

void CudaBackend::linear(MatrixView x, std::span<const LinearOutput> outputs) { linear_.run(x, outputs); }

void CudaBackend::rope_and_store_kv(const RopeKvArgs& args) {
  if (is_rotated_key(args.kv->layout.k.type) && args.head_dim > kMostTurnedDims) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("keys of 8 or 4 bits in heads of {} dims: a CUDA device takes up to {}; set cache.format to F16, or say backend: cpu", args.head_dim, kMostTurnedDims));
  }
  if (args.rotary_dim > kMaxRotaryDim || static_cast<size_t>(args.rotary_dim) != 2 * args.inverse_frequency.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("rope: rotary_dim {} with {} frequencies; the kernel takes up to {}", args.rotary_dim, args.inverse_frequency.size(), kMaxRotaryDim));
  }
  const RopeStep step = {arrays_.slot<int32_t>(StepArrays::kPositions), arrays_.slot<uint32_t>(StepArrays::frame_of_token(args.place.group))};
  launch_rope(args, step, device_.stream());
  if (args.kv->layout.summary_bytes > 0) launch_page_summaries(args, step, device_.stream());
}

void CudaBackend::copy_pages(const KvPool& kv, std::span<const FrameCopy> copies) {
  const size_t bytes = kv.layout.page_stride;
  for (const FrameCopy& copy : copies) {
    check_cuda(cudaMemcpyAsync(kv.base + copy.to * bytes, kv.base + copy.from * bytes, bytes, cudaMemcpyDeviceToDevice, device_.stream()), "the copy of a page inside the device's memory");
  }
}

void CudaBackend::attention(const AttentionArgs& args) {
  attention_.run(args);
  if (is_rotated_value(args.kv->layout.v.type)) launch_turn_heads(args.out, args.head_dim, device_.stream());
}

void CudaBackend::activate_gate(MatrixView gate, MatrixView up, GateActivation activation) {
  launch_activate_gate(gate, up, activation, device_.stream());
}

void CudaBackend::add(MatrixView x, MatrixView delta) { launch_add(x, delta, device_.stream()); }

void CudaBackend::gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst) { launch_gather_rows(src, rows, dst, device_.stream()); }

void CudaBackend::select_top(MatrixView logits, int count, std::span<TopLogits> out) { selector_.select(logits, count, out); }

void CudaBackend::download(MatrixView src, float* dst) {
  device_.read_rows(src.data, static_cast<size_t>(src.stride) * sizeof(float), static_cast<size_t>(src.cols) * sizeof(float), static_cast<size_t>(src.rows), reinterpret_cast<std::byte*>(dst));
}

}  // namespace terrace
