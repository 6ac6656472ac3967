// Causal attention of one head as textbooks write it: every score in memory, then the mask and softmax, then the product with the values,
// each a pass of its own over [num_tokens, num_tokens]. No model uses it: `terrace bench techniques` compares the tiled kernel with it,
// with the same instructions and threads. Included by files compiled for an ISA: no STL here.
#pragma once

#include <cstdint>

namespace terrace {

enum class Isa;

struct MaterialisedHead {
  const float* q = nullptr;  // [num_tokens, head_dim], rows q_stride apart
  const float* k = nullptr;  // [num_tokens, head_dim], dense
  const float* v = nullptr;  // the same
  float* scores = nullptr;   // [num_tokens, num_tokens], scratch
  float* out = nullptr;      // [num_tokens, head_dim], rows out_stride apart
  int64_t q_stride = 0;
  int64_t out_stride = 0;
  int64_t num_tokens = 0;  // a multiple of kMaterialisedRows
  int64_t head_dim = 0;    // a multiple of kMaterialisedDims
  float scale = 0;
};

inline constexpr int64_t kMaterialisedRows = 16;
inline constexpr int64_t kMaterialisedDims = 32;

/// The three passes as a library would do them (four rows at a time, in registers), and the two products as they are first written down (a
/// row and a key at a time), over query rows [begin, end), multiples of kMaterialisedRows.
struct MaterialisedKernels {
  void (*multiply_keys)(const MaterialisedHead& head, int64_t begin, int64_t end);
  void (*softmax)(const MaterialisedHead& head, int64_t begin, int64_t end);
  void (*multiply_values)(const MaterialisedHead& head, int64_t begin, int64_t end);
  void (*multiply_keys_plainly)(const MaterialisedHead& head, int64_t begin, int64_t end);
  void (*multiply_values_plainly)(const MaterialisedHead& head, int64_t begin, int64_t end);
};

extern const MaterialisedKernels kScalarMaterialised;
extern const MaterialisedKernels kAvx2Materialised;
extern const MaterialisedKernels kAvx512Materialised;

/// Those of the widest vectors that attention uses on a machine of `isa`.
const MaterialisedKernels& materialised_kernels(Isa isa);

class ThreadPool;

/// All three passes, each shared out among the pool's threads. Step thread of the pool.
void run_materialised(ThreadPool& pool, const MaterialisedKernels& kernels, bool plainly, const MaterialisedHead& head);

}  // namespace terrace
