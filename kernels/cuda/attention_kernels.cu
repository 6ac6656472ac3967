// Attention's kernels and their launches. Blocks walk the units (or joins) of the step, i, i + grid, ...: grids are fixed, counts and
// lists are read from device memory, and a CUDA graph holds none of what a step changes.
#include "kernels/cuda/attention_kernels.h"

#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {
namespace attention {

/// Blocks on a multiprocessor that registers are rationed for: enough bytes under way for decode, enough warps for prefill.
constexpr int min_blocks(int dims, AttentionTile tile, KvElement element) {
  if (tile == AttentionTile::kNarrow) return dims <= 64 ? (element == KvElement::kScaled || element == KvElement::kF8 ? 4 : 5) : dims <= 96 ? 4 : dims <= 128 ? 3 : 2;
  return dims <= 64 ? 3 : dims <= 128 ? 2 : 1;
}

template <int kDims, AttentionTile kTile, KvElement kElement>
__global__ void __launch_bounds__(kThreads, min_blocks(kDims, kTile, kElement)) attention_kernel(const AttentionParams params) {
  using SharedMemory = Shared<kDims, kTile>;
  TERRACE_DYNAMIC_SHARED(memory);
  SharedMemory& shared = *reinterpret_cast<SharedMemory*>(memory);
  constexpr int kAhead = SharedMemory::kStages - 1;
  for (int index = blockIdx.x; index < **params.num_units; index += gridDim.x) {
    __syncthreads();  // the last unit's tiles have been read
    if (threadIdx.x == 0) open_unit(shared, params, index);
    __syncthreads();
    const AttentionUnit& unit = shared.unit;
    KvStager<kDims, kTile, kElement> stager(params, shared);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) stager.copy_next(shared.stages[i]);
    load_queries<kDims, kTile, kElement>(shared, params);
    __syncthreads();
    Rows<kDims, kTile, kElement> rows(params, shared);
    int slot = 0;
    for (int key = seen_step(shared, unit.kv_begin); key < unit.kv_end;) {
      ptx::cp_async_wait<kAhead - 1>();
      __syncthreads();  // this step's tiles are there, and all have done with the step before, whose slot is filled next
      const int next_slot = slot == 0 ? kAhead : slot - 1;
      stager.copy_next(shared.stages[next_slot]);
      rows.step(shared.stages[slot], key);
      const int next = seen_step(shared, key + kStepKeys);
      const int piece = key / kAttentionSplit * kAttentionSplit;
      if (next >= piece + kAttentionSplit || next >= unit.kv_end) rows.end_piece(piece);
      key = next;
      slot = slot == kAhead ? 0 : slot + 1;
    }
    rows.finish();
  }
}

constexpr int kJoinThreads = 128;

/// A warp for each query head of a join.
__global__ void __launch_bounds__(kJoinThreads) attention_join_kernel(const AttentionJoinParams params) {
  constexpr int kPasses = kMostHeadDims / 128;
  const AttentionJoin* joins = *params.joins;
  const int num_rows = **params.num_joins * params.most_heads;
  const int lane = threadIdx.x % 32;
  for (int index = blockIdx.x * (kJoinThreads / 32) + threadIdx.x / 32; index < num_rows; index += gridDim.x * (kJoinThreads / 32)) {
    const AttentionJoin& task = joins[index / params.most_heads];
    const int head = index % params.most_heads;
    if (head >= task.heads) continue;
    float4 total[kPasses];
    float total_lse = 0;
    for (int piece = 0; piece < task.num_pieces; ++piece) {
      const int64_t partial = static_cast<int64_t>(task.partial_begin + (piece < task.sink_pieces ? piece : piece + task.hole) * task.partial_stride) * params.most_heads + head;
      const float lse = params.partial_lse[partial];
      const JoinWeights weights = piece == 0 ? JoinWeights{0, 1, lse} : join_weights(total_lse, lse);
      total_lse = weights.lse;
#pragma unroll
      for (int i = 0; i < kPasses; ++i) {
        const int dim = 128 * i + 4 * lane;
        if (dim >= params.head_dim) continue;
        const float4 o = *reinterpret_cast<const float4*>(params.partial_out + partial * params.head_dim + dim);
        const float4 t = total[i];
        total[i] = piece == 0 ? o : make_float4(join(t.x, o.x, weights), join(t.y, o.y, weights), join(t.z, o.z, weights), join(t.w, o.w, weights));
      }
    }
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int dim = 128 * i + 4 * lane;
      if (dim < params.head_dim) *reinterpret_cast<float4*>(params.out + task.token * params.out_stride + (task.first_head + head) * params.head_dim + dim) = total[i];
    }
  }
}

/// A kernel and what the host must know of it.
struct Entry {
  void (*kernel)(AttentionParams);
  int shared_bytes;  // with queries for the sinks; else less:
  int sinks_bytes;
  int min_blocks;
};

template <int kDims, AttentionTile kTile, KvElement kElement>
constexpr Entry make_entry() {
  using SharedMemory = Shared<kDims, kTile>;
  return {attention_kernel<kDims, kTile, kElement>, static_cast<int>(sizeof(SharedMemory)), static_cast<int>(sizeof(SharedMemory::q_sinks)), min_blocks(kDims, kTile, kElement)};
}

template <AttentionTile kTile, KvElement kElement>
Entry find_entry(int32_t head_dim) {
  if (head_dim <= 64) return make_entry<64, kTile, kElement>();
  if (head_dim <= 96) return make_entry<96, kTile, kElement>();
  if (head_dim <= 128) return make_entry<128, kTile, kElement>();
  return make_entry<256, kTile, kElement>();
}

template <AttentionTile kTile>
Entry find_entry(const AttentionKind& kind) {
  if (kind.element == KvElement::kF16) return find_entry<kTile, KvElement::kF16>(kind.head_dim);
  if (kind.element == KvElement::kBf16) return find_entry<kTile, KvElement::kBf16>(kind.head_dim);
  if (kind.element == KvElement::kScaled) return find_entry<kTile, KvElement::kScaled>(kind.head_dim);
  if (kind.element == KvElement::kF8) return find_entry<kTile, KvElement::kF8>(kind.head_dim);
  return find_entry<kTile, KvElement::kF32>(kind.head_dim);
}

Entry find_entry(const AttentionKind& kind, AttentionTile tile) {
  return tile == AttentionTile::kNarrow ? find_entry<AttentionTile::kNarrow>(kind) : find_entry<AttentionTile::kWide>(kind);
}

}  // namespace attention

int attention_blocks_per_multiprocessor(const AttentionKind& kind, AttentionTile tile, const cudaDeviceProp& device) {
  const attention::Entry entry = attention::find_entry(kind, tile);
  const int by_shared = static_cast<int>(device.sharedMemPerMultiprocessor / (entry.shared_bytes - entry.sinks_bytes + device.reservedSharedMemPerBlock));
  return by_shared < 1 ? 1 : by_shared < entry.min_blocks ? by_shared : entry.min_blocks;
}

bool prepare_attention(const AttentionKind& kind, bool with_sinks, const cudaDeviceProp& device) {
  const auto most = static_cast<int>(device.sharedMemPerBlockOptin);
  for (const AttentionTile tile : {AttentionTile::kNarrow, AttentionTile::kWide}) {
    const attention::Entry entry = attention::find_entry(kind, tile);
    if (entry.shared_bytes - (with_sinks ? 0 : entry.sinks_bytes) > most) return false;
    allow_shared_bytes("giving attention its shared memory", entry.kernel, entry.shared_bytes < most ? entry.shared_bytes : most);
  }
  return true;
}

void start_attention(const AttentionKind& kind, AttentionTile tile, int num_blocks, const AttentionParams& params, cudaStream_t stream) {
  const attention::Entry entry = attention::find_entry(kind, tile);
  const int shared_bytes = entry.shared_bytes - (params.q_sinks == nullptr ? entry.sinks_bytes : 0);
  launch("starting attention", {dim3(num_blocks), dim3(attention::kThreads), static_cast<size_t>(shared_bytes), stream}, entry.kernel, params);
}

void start_attention_joins(int num_blocks, const AttentionJoinParams& params, cudaStream_t stream) {
  launch("joining attention's pieces", {dim3(num_blocks), dim3(attention::kJoinThreads), 0, stream}, attention::attention_join_kernel, params);
}

}  // namespace terrace
