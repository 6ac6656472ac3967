// THE SEAM: everything a device must do for a model, op by op. Model code calls these and nothing else; it has no #ifdef and
// no "if (cuda)". One Backend per rank, used from the rank's step thread only.
//
// What varies from step to step (tokens, positions, page tables, attention tasks) is handed over once, by begin_step(), and
// lives at fixed places inside the backend; op arguments hold only weights, activations and row counts. Activations are float.
//
// Arithmetic (LAW 4): an op's result for a row never depends on the other rows of the call, on their number, or on the number of
// threads. Quantised linear ops: activations are quantised per 32 columns, sums inside a quantisation block are exact integers,
// blocks are accumulated in column order by explicit fma; equal bits on every ISA.
//
// A failure is an exception that only the rank loop catches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/attention_planner.h"
#include "kernels/base/error.h"
#include "kernels/base/function_ref.h"
#include "kernels/base/tensor.h"
#include "kernels/machine_limits.h"
#include "kernels/page_codec.h"
#include "kernels/page_layout.h"
#include "kernels/page_mover.h"
#include "kernels/sparse_reading.h"

namespace terrace {

/// A weight matrix in the backend's own packing. Opaque; used only with the backend that made it.
class Weight {
 public:
  virtual ~Weight() = default;
  virtual int64_t rows() const = 0;   // output features
  virtual int64_t cols() const = 0;   // input features
  virtual size_t bytes() const = 0;   // held by the backend
};

struct PackOptions {
  // Quantise the activations of this weight to 16 bits (two int8 planes) instead of 8: for layers that lose most (DECISIONS 18).
  bool fine_activations = false;
};

/// This rank's KV pages: blocks of layout.page_stride bytes from `base`, one a frame, each of one layer group (all have pages of one layout). Attention may also read the pages of the host tier:
/// their frames follow the device's in number, and on the CPU in place; K and V are written to the device's frames only.
struct KvPool {
  std::byte* base = nullptr;
  PageLayout layout;
  const std::byte* host = nullptr;  // where the host tier is memory of its own (Backend::reads_host_pages): its first page, frame `num_frames`
  uint32_t num_frames = 0;          // of the device, where there is `host`
};

/// The bytes of one frame into another of the same pool.
struct FrameCopy {
  uint32_t from = 0;
  uint32_t to = 0;
};

/// Everything that varies per step. Spans stay valid until the step's last op.
struct StepBatch {
  std::span<const int32_t> tokens;     // [num_tokens] ids
  std::span<const int32_t> positions;  // [num_tokens]
  std::span<const int32_t> kv_page;    // [num_tokens] index in each group's frames of the page that the token's K and V go to
  std::span<const AttentionRun> runs;
  std::span<const uint32_t> frames;    // [num_groups, pages] page tables of all runs, one after another, of one layer group after another
  int32_t num_groups = 1;              // the same in every step of a model

  std::span<const uint32_t> frames_of(int32_t group) const {
    const size_t pages = frames.size() / static_cast<size_t>(num_groups);
    return frames.subspan(static_cast<size_t>(group) * pages, pages);
  }
  /// Every run is one token.
  bool is_decode() const { return !tokens.empty() && runs.size() == tokens.size(); }
};

/// Where a layer's K and V are: which page table is its group's, and which layer of the pages is its.
struct LayerPlace {
  int32_t group = 0;
  int32_t layer = 0;
};

enum class RopeStyle { kAdjacentPairs, kHalves };  // pairs (2i, 2i+1), or (i, i + rotary_dim / 2)

struct RopeKvArgs {
  MatrixView q;  // [num_tokens, num_q_heads * head_dim], rotated in place
  MatrixView k;  // [num_tokens, num_kv_heads * head_dim]
  MatrixView v;  // [num_tokens, num_kv_heads * head_dim]
  int32_t head_dim = 0;
  int32_t rotary_dim = 0;                    // first dims of a head that are rotated
  RopeStyle style = RopeStyle::kAdjacentPairs;
  std::span<const float> inverse_frequency;  // [rotary_dim / 2] radians per position
  float attention_factor = 1.0f;             // multiplies sin and cos (yarn)
  LayerPlace place;
  const KvPool* kv = nullptr;
  // Endless streams (attention.window). The queries once more, as they stand to the sinks; data == nullptr: not wanted.
  MatrixView q_sinks = {};        // like q, written
  AttentionWindow window = {};    // says by which position: window.sink_position(p)
  bool exact_angles = false;      // position * frequency is not rounded to float, as it is for the sake of the models' references: 0.004 at 100,000
};

struct AttentionArgs {
  MatrixView q;    // [num_tokens, num_q_heads * head_dim], rotated
  MatrixView out;  // same shape; normalised output
  int32_t num_q_heads = 0;                     // this rank's
  int32_t num_kv_heads = 0;
  // Query head h reads KV head kv_head_of_q[h]; ascending. Shards may cut a KV group anywhere (9 query heads over 2 ranks).
  std::span<const int32_t> kv_head_of_q;       // [num_q_heads]
  int32_t head_dim = 0;
  float scale = 0;       // multiplies q.k
  float soft_cap = 0;    // 0: none; else a scaled score s counts as soft_cap * tanh(s / soft_cap)
  int32_t window = 0;    // 0: all keys; else a query at position p sees keys p - window + 1 .. p, and those at positions < sinks.
  int32_t sinks = 0;     // Pages with nothing else are not read: their frame numbers may be any. Layers of a step may differ in all three.
  LayerPlace place;
  const KvPool* kv = nullptr;
  MatrixView q_sinks = {};  // like q, used for keys at positions < sinks (RopeKvArgs); data == nullptr: q is
  SparseReading sparse = {};  // of tokens that may (AttentionRun::num_sparse); pages have summaries, and there is no window

  AttentionWindow key_window() const { return window > 0 ? AttentionWindow{window, sinks} : AttentionWindow{}; }
};

/// What a gated feed-forward layer does to its gate. kGeluTanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
enum class GateActivation { kSilu, kGeluTanh };

struct LinearOutput {
  const Weight* weight = nullptr;
  MatrixView out;                 // [rows, weight->rows()]
  const float* bias = nullptr;    // [weight->rows()] or none
};

/// A candidate for the next token.
struct TokenLogit {
  int32_t token = 0;  // column in the logits given to select_top
  float logit = 0;
};

/// What selection keeps of one row of logits.
struct TopLogits {
  float max = 0;
  float sum_exp = 0;  // of exp(logit - max), over the columns of the call
  std::vector<TokenLogit> top;  // largest first; equal logits: the smaller token first
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// For the start line, e.g. "cpu avx2, 2 threads".
  virtual std::string describe() const = 0;
  /// What the bits of its results depend on beside the operands: where it is equal, K and V may be taken over from another run.
  virtual std::string arithmetic() const = 0;
  /// Throws kInvalidValue where attention() does not know this one.
  virtual void check_sparse_reading(const SparseReading& sparse) const;
  virtual Buffer allocate(size_t bytes) = 0;
  /// `values` in backend memory (norm weights, biases): Buffer.data() is a float array there.
  virtual Buffer upload(std::span<const float> values) = 0;
  /// Host to backend memory and back, in the order of the ops; the host's side may be used again at once.
  virtual void write(void* dst, std::span<const std::byte> src) = 0;
  virtual void read(const void* src, std::span<std::byte> dst) = 0;
  /// Bytes that allocate() can still give, where the backend has memory of its own; none on the CPU.
  virtual std::optional<size_t> free_memory() const { return std::nullopt; }
  /// For moving KV pages to host memory and back. The pool at options.device_base must outlive it.
  virtual std::unique_ptr<PageMover> make_page_mover(const PageMoverOptions& options) = 0;
  /// Between the device's pages and the same pages in a smaller format, for PageMoverOptions::codec. Throws kInvalidValue where it makes none.
  virtual std::unique_ptr<PageCodec> make_page_codec(const PageLayout& device, const PageLayout& stored) const;
  /// Whether attention can read the page mover's host pool where it lies (KvPool::host), at the addresses that the host has for it.
  virtual bool reads_host_pages() const { return true; }
  /// The queue that ops run on (a cudaStream_t), for collectives between devices; null where ops have run when they return.
  virtual void* stream() const { return nullptr; }
  /// Calls body(0) to body(count - 1), in any order, by the host threads that ops run on: host work between ops. Waits for all.
  virtual void for_each(int64_t count, FunctionRef<void(int64_t)> body);
  /// Measures the machine, with this backend's threads and instructions, for about half a second; `set_bytes`: see MachineLimits.
  virtual MachineLimits measure_limits(size_t set_bytes);

  // ---- loading ----
  /// Packs a weight for linear(). `matrix` may be released afterwards.
  virtual std::unique_ptr<Weight> pack_linear(const HostMatrix& matrix, const PackOptions& options) = 0;
  /// Bytes that pack_linear() of such a matrix holds; to plan memory before anything is loaded. Unless told otherwise, as in the file.
  virtual size_t packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions& options) const;
  /// A table for embed(). On the CPU it refers to the host memory, which must outlive it.
  virtual std::unique_ptr<Weight> make_embedding(const HostMatrix& matrix) = 0;

  // ---- a step ----
  /// Takes over the step's data; `shape` and the head geometry come with attention().
  virtual void begin_step(const StepBatch& batch) = 0;
  /// Rows to run the ops of a decode step with, >= num_tokens: rows beyond it belong to no token, are written nowhere, and let steps
  /// of like size share a graph. begin_step() has seen to as many.
  virtual int64_t padded_tokens(int64_t num_tokens) const { return num_tokens; }
  /// Runs `ops`, a part of a decode step that calls nothing but this backend's ops and collectives on its stream. A backend may record
  /// it and replay the record in later steps: calls with the same key must make the same calls with the same arguments, only the
  /// step's data (StepBatch) differing.
  virtual void run_graph(uint64_t key, FunctionRef<void()> ops);
  /// Destroys all records, and with them their hold on the collective; never waits, never throws.
  virtual void forget_graphs() {}
  /// out[i] = table[batch.tokens[i]] * scale, [num_tokens, hidden].
  virtual void embed(const Weight& table, float scale, MatrixView out) = 0;
  /// out = x / sqrt(mean(x^2) + eps) * weight, row by row; out may be x.
  virtual void rms_norm(MatrixView x, const float* weight, float eps, MatrixView out) = 0;
  /// x += delta, then out = rms_norm(x); out may be delta.
  virtual void add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out);
  /// The norm of each head, [head_dim] of a row, in place; `weight` [head_dim] is the same for all.
  void rms_norm_heads(MatrixView x, int32_t head_dim, const float* weight, float eps);
  /// Each output = x * weight^T (+ bias): all outputs share one quantisation of x.
  virtual void linear(MatrixView x, std::span<const LinearOutput> outputs) = 0;
  /// gate.out = activation(x * gate^T) * (x * up^T), with both biases; up.out is scratch.
  virtual void gated_linear(MatrixView x, const LinearOutput& gate, const LinearOutput& up, GateActivation activation);
  /// Rotates q and k by the tokens' positions and writes k and v into the tokens' pages. Where keys are quantised, q leaves turned as they
  /// are stored (rotated_dims), fit for attention() alone; v may leave turned too. A page that becomes full is given its summary, where the layout has room for it.
  virtual void rope_and_store_kv(const RopeKvArgs& args) = 0;
  /// Copies whole pages, one after another, before the ops that follow: copy-on-write.
  virtual void copy_pages(const KvPool& kv, std::span<const FrameCopy> copies) = 0;
  /// Causal attention of the batch's runs over their pages. Reads K and V from the pages only.
  virtual void attention(const AttentionArgs& args) = 0;
  /// What attention() has read since the last call, by tokens that may read sparsely.
  virtual ReadingStats take_reading() { return {}; }
  /// gate = activation(gate) * up.
  virtual void activate_gate(MatrixView gate, MatrixView up, GateActivation activation) = 0;
  /// x += delta.
  virtual void add(MatrixView x, MatrixView delta) = 0;
  /// dst[i] = src[rows[i]]: the rows whose logits are wanted.
  virtual void gather_rows(MatrixView src, std::span<const int32_t> rows, MatrixView dst) = 0;
  /// The `count` largest columns of each row with the row's log-sum-exp parts.
  virtual void select_top(MatrixView logits, int count, std::span<TopLogits> out) = 0;
  /// Device to host, `rows * cols` floats, dense.
  virtual void download(MatrixView src, float* dst) = 0;
};

inline size_t Backend::packed_bytes(DType dtype, int64_t rows, int64_t cols, const PackOptions&) const {
  const DTypeInfo& info = dtype_info(dtype);
  return static_cast<size_t>(rows) * static_cast<size_t>(cols) * info.block_bytes / info.block_elements;
}

inline std::unique_ptr<PageCodec> Backend::make_page_codec(const PageLayout&, const PageLayout&) const {
  throw Error(ErrorCode::kInvalidValue, "cache.host_format: " + describe() + " moves pages between the tiers as they are; set it to same, or say backend: cpu");
}

inline void Backend::check_sparse_reading(const SparseReading&) const {
  throw Error(ErrorCode::kInvalidValue, "attention.sparse: " + describe() + " reads all pages; set attention.sparse.mode to off, or say backend: cpu");
}

inline void Backend::for_each(int64_t count, FunctionRef<void(int64_t)> body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

inline MachineLimits Backend::measure_limits(size_t) { return {}; }

inline void Backend::run_graph(uint64_t, FunctionRef<void()> ops) { ops(); }

inline void Backend::add_rms_norm(MatrixView x, MatrixView delta, const float* weight, float eps, MatrixView out) {
  add(x, delta);
  rms_norm(x, weight, eps, out);
}

inline void Backend::rms_norm_heads(MatrixView x, int32_t head_dim, const float* weight, float eps) {
  if (x.stride == x.cols) {  // heads are rows
    const MatrixView heads = {x.data, x.rows * (x.cols / head_dim), head_dim, head_dim};
    return rms_norm(heads, weight, eps, heads);
  }
  for (int64_t begin = 0; begin < x.cols; begin += head_dim) {
    const MatrixView head = x.columns(begin, head_dim);
    rms_norm(head, weight, eps, head);
  }
}

inline void Backend::gated_linear(MatrixView x, const LinearOutput& gate, const LinearOutput& up,
                                  GateActivation activation) {
  const LinearOutput outputs[] = {gate, up};
  linear(x, outputs);
  activate_gate(gate.out, up.out, activation);
}

/// Whether a row's bits may depend on the other rows of the call (LAW 4). kAuto: kInvariant on the CPU, kFast on CUDA.
enum class Numerics { kAuto, kInvariant, kFast };

struct BackendOptions {
  int num_threads = 1;
  bool spin = true;      // false where ranks outnumber cores: waiting threads yield
  std::string isa;       // "", or a cap: scalar avx2 avx512 vnni amx (TERRACE_ISA)
  int device = 0;        // CUDA: this rank's number among the ranks of its host
  Numerics numerics = Numerics::kAuto;
  bool graphs = true;    // CUDA: record decode steps and replay them
};

/// "auto", "cpu" or "cuda"; auto is CUDA where the module and a device are, else the CPU. Throws kInvalidValue for what cannot be had, saying why.
std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options);

}  // namespace terrace
