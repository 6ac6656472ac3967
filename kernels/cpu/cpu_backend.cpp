#include "kernels/cpu/cpu_backend.h"

#include <fmt/format.h>
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/cpu/cpu_page_codec.h"
#include "kernels/cpu/cpu_page_mover.h"
#include "kernels/cpu/machine_limits.h"
#include "kernels/cpu/page_summary.h"
#include "kernels/quant_block.h"

namespace terrace {
namespace {

constexpr int64_t kFloatsPerThread = 8192;  // below this, waking another thread costs more than it saves

void flush_subnormals() {
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
}

/// Rows of the model file, dequantised when they are looked up.
class HostTable : public Weight {
 public:
  explicit HostTable(const HostMatrix& matrix) : matrix_(matrix) {}
  int64_t rows() const override { return matrix_.rows; }
  int64_t cols() const override { return matrix_.cols; }
  size_t bytes() const override { return 0; }
  const HostMatrix& matrix() const { return matrix_; }

 private:
  HostMatrix matrix_;
};

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options, Isa isa)
    : isa_(isa),
      pool_(options.num_threads, options.spin),
      rows_(isa >= Isa::kAvx2 ? kAvx2RowOps : kScalarRowOps),
      linear_(linear_kernels(isa, options.numerics), pool_),
      bf16_(&attention_kernels(isa, options.numerics) != &attention_kernels(isa)),
      attention_(pool_, attention_kernels(isa, options.numerics)),
      selector_(pool_, rows_) {
  pool_.run([](int) { flush_subnormals(); });
}

std::string CpuBackend::describe() const {
  const int threads = pool_.num_threads();
  return fmt::format("cpu {}{}, {} thread{}", isa_name(isa_), bf16_ ? " with bf16" : "", threads, threads == 1 ? "" : "s");
}

std::string CpuBackend::arithmetic() const { return !bf16_ ? "cpu arithmetic 1" : isa_ >= Isa::kAmx ? "cpu arithmetic 2, bf16 by tiles" : "cpu arithmetic 2, bf16"; }

Buffer CpuBackend::allocate(size_t bytes) {
  if (bytes == 0) return {};
  // Anonymous pages are zero and belong to the memory of the thread that touches them first.
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    throw Error(ErrorCode::kOutOfMemory,
                fmt::format("cannot allocate {} MiB of host memory: use fewer pages (cache.device) or more ranks",
                            bytes >> 20));
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // best effort
  return {static_cast<std::byte*>(data), bytes, [](std::byte* begin, size_t size) { munmap(begin, size); }};
}

Buffer CpuBackend::upload(std::span<const float> values) {
  Buffer buffer = allocate(values.size_bytes());
  std::copy(values.begin(), values.end(), reinterpret_cast<float*>(buffer.data()));
  return buffer;
}

void CpuBackend::write(void* dst, std::span<const std::byte> src) { std::memcpy(dst, src.data(), src.size()); }

void CpuBackend::read(const void* src, std::span<std::byte> dst) { std::memcpy(dst.data(), src, dst.size()); }

std::unique_ptr<PageMover> CpuBackend::make_page_mover(const PageMoverOptions& options) {
  Buffer host_pool = options.host_base == nullptr ? allocate(stored_page_bytes(options.codec, options.page_bytes) * options.num_host_frames) : Buffer();
  return std::make_unique<CpuPageMover>(options, std::move(host_pool), choose_copy_page(isa_));
}

std::unique_ptr<PageCodec> CpuBackend::make_page_codec(const PageLayout& device, const PageLayout& stored) const {
  return std::make_unique<CpuPageCodec>(device, stored, rows_);
}

void CpuBackend::for_each(int64_t count, FunctionRef<void(int64_t)> body) {
  pool_.parallel_for(count, 1, [&](int64_t index, int64_t) { body(index); });
}

MachineLimits CpuBackend::measure_limits(size_t set_bytes) {
  MachineLimits limits = measure_multiply_adds(pool_, isa_);
  limits.memory_bytes = memory_probe_bytes();
  limits.memory_rate = measure_read_rate(pool_, isa_, allocate(limits.memory_bytes));
  // Larger than the caches is large enough, and the KV pool has left no room for a second copy of large weights.
  limits.set_bytes = std::min(set_bytes, limits.memory_bytes);
  limits.set_rate = measure_read_rate(pool_, isa_, allocate(limits.set_bytes));
  return limits;
}

std::unique_ptr<Weight> CpuBackend::pack_linear(const HostMatrix& matrix, const PackOptions& options) {
  return linear_.pack(matrix, options);
}

size_t CpuBackend::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const {
  return linear_.packed_bytes(dtype, rows, cols, options);
}

std::unique_ptr<Weight> CpuBackend::make_embedding(const HostMatrix& matrix) {
  return std::make_unique<HostTable>(matrix);
}

void CpuBackend::begin_step(const StepBatch& batch) {
  flush_subnormals();  // the step thread may be another than the constructor's
  batch_ = batch;
  rope_.begin_step(batch.positions);
  attention_.begin_step(batch);
}

template <class Body>
void CpuBackend::for_each_row(int64_t num_rows, int64_t floats_per_row, Body body) {
  const auto rows = [&body](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  };
  if (num_rows * floats_per_row <= kFloatsPerThread) return rows(0, num_rows);
  pool_.parallel_for(num_rows, std::max<int64_t>(1, kFloatsPerThread / 2 / std::max<int64_t>(1, floats_per_row)), rows);
}

void CpuBackend::embed(const Weight& table, float scale, MatrixView out) {
  const HostMatrix& matrix = static_cast<const HostTable&>(table).matrix();
  for_each_row(static_cast<int64_t>(batch_.tokens.size()), matrix.cols, [&](int64_t i) {
    const int64_t token = batch_.tokens[static_cast<size_t>(i)];
    if (token < 0 || token >= matrix.rows) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("embed: token {} of an embedding with {} rows", token, matrix.rows));
    }
    const std::byte* row = matrix.data + static_cast<size_t>(token) * matrix.row_bytes;
    dequantize_row(matrix.dtype, row, matrix.first_col, matrix.cols, out.row(i));
    if (scale != 1.0f) rows_.scale(out.row(i), scale, matrix.cols);
  });
}

void CpuBackend::rms_norm(MatrixView x, const float* weight, float eps, MatrixView out) {
  for_each_row(x.rows, x.cols, [&](int64_t i) { rows_.rms_norm(x.row(i), weight, x.cols, eps, out.row(i)); });
}

void CpuBackend::add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out) {
  for_each_row(x.rows, x.cols, [&](int64_t i) {
    rows_.add(x.row(i), delta.row(i), x.cols);
    rows_.rms_norm(x.row(i), weight, x.cols, eps, out.row(i));
  });
}

void CpuBackend::linear(MatrixView x, std::span<const LinearOutput> outputs) { linear_.run(x, outputs); }

void CpuBackend::gated_linear(MatrixView x, const LinearOutput& gate, const LinearOutput& up,
                              GateActivation activation) {
  const auto gate_columns = gate_row(activation);
  linear_.run_pair(x, gate, up, [&](const LinearOps::Part& part) {
    for (int64_t row = part.first_row; row < part.first_row + part.num_rows; ++row) {
      gate_columns(gate.out.row(row) + part.first_col, up.out.row(row) + part.first_col, part.num_cols);
    }
  });
}

void CpuBackend::rope_and_store_kv(const RopeKvArgs& args) {
  rope_.select(args);
  for_each_row(args.q.rows, args.q.cols + 2 * args.k.cols, [&](int64_t token) { rotate_and_store_token(args, token); });
  if (args.kv->layout.summary_bytes > 0) summarise_full_pages(args);
}

// Those whose last key was just stored. So a full page has its summary wherever it goes, whoever wrote its first keys, and other pages need none.
void CpuBackend::summarise_full_pages(const RopeKvArgs& args) {
  const PageLayout& layout = args.kv->layout;
  for_each_row(args.q.rows, args.k.cols, [&](int64_t token) {
    const auto index = static_cast<size_t>(token);
    if (batch_.positions[index] % layout.page_tokens != layout.page_tokens - 1) return;
    const uint32_t frame = batch_.frames_of(args.place.group)[static_cast<size_t>(batch_.kv_page[index])];
    summarise_page(layout, args.place.layer, rows_, args.kv->base + frame * layout.page_stride);
  });
}

void CpuBackend::rotate_and_store_token(const RopeKvArgs& args, int64_t token) {
  const auto rotate = args.style == RopeStyle::kAdjacentPairs ? rows_.rotate_pairs : rows_.rotate_halves;
  const PageLayout& layout = args.kv->layout;
  const int32_t mixed_dims = is_rotated_key(layout.k.type) ? rotated_dims(args.head_dim) : 1;
  const auto turn = [&](float* head, const RopeTable::Row& angles) {
    rotate(head, angles.cos, angles.sin, args.rotary_dim);
    if (mixed_dims > 1) rows_.rotate_hadamard(head, args.head_dim, mixed_dims);
  };
  const RopeTable::Row angles = rope_.row(token);
  float* q = args.q.row(token);
  if (args.q_sinks.data != nullptr) {
    float* q_sinks = args.q_sinks.row(token);
    std::copy(q, q + args.q.cols, q_sinks);
    for (int64_t d = 0; d < args.q.cols; d += args.head_dim) turn(q_sinks + d, rope_.sink_row(token));
  }
  for (int64_t d = 0; d < args.q.cols; d += args.head_dim) turn(q + d, angles);

  const auto index = static_cast<size_t>(token);
  const uint32_t frame = batch_.frames_of(args.place.group)[static_cast<size_t>(batch_.kv_page[index])];
  const int slot = batch_.positions[index] % layout.page_tokens;
  std::byte* page = args.kv->base + frame * layout.page_stride;
  const auto store = [&](const float* head, const PageRows& rows, int kv_head) {
    std::byte* scales = page + layout.scale_offset(rows, args.place.layer, kv_head, slot);
    rows_.store_kv(head, args.head_dim, rows.type, page + layout.row_offset(rows, args.place.layer, kv_head, slot), scales);
  };
  for (int kv_head = 0; kv_head < layout.num_kv_heads; ++kv_head) {
    float* k = args.k.row(token) + kv_head * args.head_dim;
    turn(k, angles);
    store(k, layout.k, kv_head);
    float* v = args.v.row(token) + kv_head * args.head_dim;
    if (is_rotated_value(layout.v.type)) rows_.rotate_hadamard(v, args.head_dim, rotated_dims(args.head_dim));
    store(v, layout.v, kv_head);
  }
}

void CpuBackend::copy_pages(const KvPool& kv, std::span<const FrameCopy> copies) {
  const size_t bytes = kv.layout.page_stride;
  for (const FrameCopy& copy : copies) std::memcpy(kv.base + copy.to * bytes, kv.base + copy.from * bytes, bytes);
}

void CpuBackend::attention(const AttentionArgs& args) {
  attention_.run(args);
  if (!is_rotated_value(args.kv->layout.v.type)) return;
  for_each_row(args.out.rows, args.out.cols, [&](int64_t token) { rows_.rotate_hadamard(args.out.row(token), static_cast<int32_t>(args.out.cols), rotated_dims(args.head_dim)); });
}

void CpuBackend::activate_gate(MatrixView gate, MatrixView up, GateActivation activation) {
  const auto gate_columns = gate_row(activation);
  for_each_row(gate.rows, 4 * gate.cols, [&](int64_t i) { gate_columns(gate.row(i), up.row(i), gate.cols); });
}

void CpuBackend::add(MatrixView x, MatrixView delta) {
  for_each_row(x.rows, x.cols, [&](int64_t i) { rows_.add(x.row(i), delta.row(i), x.cols); });
}

void CpuBackend::gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst) {
  const auto bytes = static_cast<size_t>(src.cols) * sizeof(float);
  for (size_t i = 0; i < rows.size(); ++i) std::memcpy(dst.row(static_cast<int64_t>(i)), src.row(rows[i]), bytes);
}

void CpuBackend::select_top(MatrixView logits, int count, std::span<TopLogits> out) {
  selector_.select(logits, count, out);
}

void CpuBackend::download(MatrixView src, float* dst) {
  for (int64_t i = 0; i < src.rows; ++i)
    std::memcpy(dst + i * src.cols, src.row(i), static_cast<size_t>(src.cols) * sizeof(float));
}

}  // namespace terrace
