// cuBLASLt's functions, as far as terrace calls them: D = alpha A^T B + beta C (+ bias), 16-bit factors, float sums, scalars on the device. Every attribute, type or mode that is not
// simulated ends the process. Checks what the library leaves to luck: handles that are gone, an algorithm used for another product than it was chosen for, alignments that
// the preference did not promise, a workspace too small.
#include <cublasLt.h>
#include <fmt/format.h>

#include <cstring>
#include <mutex>
#include <set>

#include "tests/cudasim/core.h"
#include "tests/cudasim/cublas/product.h"
#include "tests/cudasim/leaks.h"

namespace cudasim {
namespace {

struct Description {
  cublasOperation_t transpose_a = CUBLAS_OP_N;
  cublasLtPointerMode_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};

struct Layout {
  cudaDataType type;
  uint64_t rows, cols;
  int64_t stride;
  size_t element() const { return type == CUDA_R_32F ? 4 : 2; }
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // A, B, C, D: the library's defaults
};

/// What lies in a cublasLtMatmulAlgo_t.
struct Choice {
  uint64_t magic;
  uint64_t product;  // hash of the shapes it was chosen for
  uint64_t workspace;
  uint32_t alignment[4];
};
constexpr uint64_t kMagic = 0x6375626c61734c74;
static_assert(sizeof(Choice) <= sizeof(cublasLtMatmulAlgo_t));

std::mutex live_mutex;
std::multiset<const void*>& live() {
  static auto& handles = *new std::multiset<const void*>;
  return handles;
}

template <typename Type>
Type* keep(Type* made) {
  const std::lock_guard lock(live_mutex);
  live().insert(made);
  return made;
}

template <typename Type>
Type& get(const void* handle, const char* function) {
  const std::lock_guard lock(live_mutex);
  if (!live().contains(handle)) unsupported(fmt::format("{}: a handle that does not exist (any more)", function));
  return *static_cast<Type*>(const_cast<void*>(handle));
}

template <typename Type>
cublasStatus_t drop(const void* handle, const char* function) {
  Type* object = &get<Type>(handle, function);
  {
    const std::lock_guard lock(live_mutex);
    live().erase(live().find(handle));
  }
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Type>
Type value_of(const void* value, size_t bytes, const char* what) {
  Type typed;
  if (bytes != sizeof typed) unsupported(fmt::format("cuBLASLt: {} of {} bytes instead of {}", what, bytes, sizeof typed));
  std::memcpy(&typed, value, sizeof typed);
  return typed;
}

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
  return hash ^ hash >> 29;
}

uint64_t hash_of(const Description& d, const Layout& a, const Layout& b, const Layout& out) {
  uint64_t hash = mix(d.epilogue, d.transpose_a);
  for (const Layout* layout : {&a, &b, &out}) hash = mix(mix(mix(mix(hash, layout->type), layout->rows), layout->cols), static_cast<uint64_t>(layout->stride));
  return hash;
}

void refuse_what_is_not_simulated(const Description& d, const Layout& a, const Layout& b, const Layout& c, const Layout& out) {
  const bool halves = (a.type == CUDA_R_16F || a.type == CUDA_R_16BF) && b.type == a.type;
  if (d.transpose_a != CUBLAS_OP_T || !halves || c.type != CUDA_R_32F || out.type != CUDA_R_32F) unsupported("cuBLASLt: a product other than A^T B of 16 bits into floats");
  if (d.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE) unsupported("cuBLASLt: alpha and beta on the host");
  if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT && d.epilogue != CUBLASLT_EPILOGUE_BIAS) unsupported(fmt::format("cuBLASLt: epilogue {}", static_cast<int>(d.epilogue)));
}

bool fits(const Layout& a, const Layout& b, const Layout& c, const Layout& out) {
  return a.rows == b.rows && out.rows == a.cols && out.cols == b.cols && c.rows == out.rows && c.cols == out.cols;
}

void add_range(std::vector<MemoryRange>& ranges, const void* matrix, const Layout& layout) {
  const size_t column = layout.rows * layout.element();
  const size_t step = static_cast<size_t>(layout.stride) * layout.element();
  if (column == step) return ranges.push_back({matrix, column * layout.cols});
  for (uint64_t col = 0; col < layout.cols; ++col) ranges.push_back({static_cast<const std::byte*>(matrix) + col * step, column});
}

/// Findings about a call; false if there are.
bool check_call(const Choice& choice, uint64_t product, const void* const (&matrices)[4], const void* workspace, size_t workspace_bytes) {
  if (choice.magic != kMagic || choice.product != product) {
    report("cublasLtMatmul: the algorithm was not chosen for this product");
    return false;
  }
  for (int i = 0; i < 4; ++i) {
    if (reinterpret_cast<uintptr_t>(matrices[i]) % choice.alignment[i] == 0) continue;
    report(fmt::format("cublasLtMatmul: matrix {} at {} is not aligned to the {} bytes that its preference promised", "ABCD"[i], describe_address(matrices[i]), choice.alignment[i]));
    return false;
  }
  if (workspace_bytes < choice.workspace || (choice.workspace > 0 && reinterpret_cast<uintptr_t>(workspace) % 256 != 0)) {
    report(fmt::format("cublasLtMatmul: a workspace of {} bytes, or one that is not aligned to 256; the algorithm takes {}", workspace_bytes, choice.workspace));
    return false;
  }
  return true;
}

}  // namespace

size_t live_cublas_objects() {
  const std::lock_guard lock(live_mutex);
  return live().size();
}

}  // namespace cudasim

using namespace cudasim;

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "CUBLAS_STATUS of another name";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (call_fails("cublasLtCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  if (!settings().driver || settings().num_devices == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = reinterpret_cast<cublasLtHandle_t>(keep(new int(0)));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return drop<int>(handle, "cublasLtDestroy"); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute, cudaDataType_t scale) {
  if (call_fails("cublasLtMatmulDescCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) unsupported("cuBLASLt: a compute type other than float");
  *description = reinterpret_cast<cublasLtMatmulDesc_t>(keep(new Description));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) { return drop<Description>(description, "cublasLtMatmulDescDestroy"); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t bytes) {
  if (call_fails("cublasLtMatmulDescSetAttribute")) return CUBLAS_STATUS_INVALID_VALUE;
  auto& d = get<Description>(description, "cublasLtMatmulDescSetAttribute");
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: d.transpose_a = value_of<cublasOperation_t>(value, bytes, "TRANSA"); break;
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: d.pointer_mode = value_of<cublasLtPointerMode_t>(value, bytes, "POINTER_MODE"); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: d.epilogue = value_of<cublasLtEpilogue_t>(value, bytes, "EPILOGUE"); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: d.bias = value_of<const void*>(value, bytes, "BIAS_POINTER"); break;
    default: unsupported(fmt::format("cublasLtMatmulDescSetAttribute {}", static_cast<int>(attribute)));
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t cols, int64_t stride) {
  if (call_fails("cublasLtMatrixLayoutCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  if (type != CUDA_R_16F && type != CUDA_R_16BF && type != CUDA_R_32F) unsupported(fmt::format("cuBLASLt: a matrix of type {}", static_cast<int>(type)));
  if (stride < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(keep(new Layout{type, rows, cols, stride}));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return drop<Layout>(layout, "cublasLtMatrixLayoutDestroy"); }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  if (call_fails("cublasLtMatmulPreferenceCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(keep(new Preference));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return drop<Preference>(preference, "cublasLtMatmulPreferenceDestroy"); }

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void* value, size_t bytes) {
  if (call_fails("cublasLtMatmulPreferenceSetAttribute")) return CUBLAS_STATUS_INVALID_VALUE;
  auto& p = get<Preference>(preference, "cublasLtMatmulPreferenceSetAttribute");
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: p.workspace = value_of<uint64_t>(value, bytes, "MAX_WORKSPACE_BYTES"); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: p.alignment[0] = value_of<uint32_t>(value, bytes, "MIN_ALIGNMENT_A_BYTES"); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: p.alignment[1] = value_of<uint32_t>(value, bytes, "MIN_ALIGNMENT_B_BYTES"); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: p.alignment[2] = value_of<uint32_t>(value, bytes, "MIN_ALIGNMENT_C_BYTES"); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: p.alignment[3] = value_of<uint32_t>(value, bytes, "MIN_ALIGNMENT_D_BYTES"); break;
    default: unsupported(fmt::format("cublasLtMatmulPreferenceSetAttribute {}", static_cast<int>(attribute)));
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t results[], int* found) {
  const char* name = "cublasLtMatmulAlgoGetHeuristic";
  get<int>(handle, name);
  *found = 0;
  if (call_fails(name)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto& desc = get<Description>(description, name);
  const Layout &la = get<Layout>(a, name), &lb = get<Layout>(b, name), &lc = get<Layout>(c, name), &ld = get<Layout>(d, name);
  refuse_what_is_not_simulated(desc, la, lb, lc, ld);
  if (wanted < 1 || !fits(la, lb, lc, ld)) return CUBLAS_STATUS_INVALID_VALUE;
  const auto& p = get<Preference>(preference, name);
  Choice choice = {kMagic, hash_of(desc, la, lb, ld), 0, {p.alignment[0], p.alignment[1], p.alignment[2], p.alignment[3]}};
  choice.workspace = std::min<uint64_t>(p.workspace, mix(settings().seed, choice.product) % 3 * 65536);  // some algorithms take none
  results[0] = {};
  std::memcpy(&results[0].algo, &choice, sizeof choice);
  results[0].workspaceSize = choice.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const char* name = "cublasLtMatmul";
  get<int>(handle, name);
  if (call_fails(name)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const auto& desc = get<Description>(description, name);
  const Layout &la = get<Layout>(a_layout, name), &lb = get<Layout>(b_layout, name), &lc = get<Layout>(c_layout, name), &ld = get<Layout>(d_layout, name);
  refuse_what_is_not_simulated(desc, la, lb, lc, ld);
  if (algorithm == nullptr) unsupported("cublasLtMatmul without an algorithm");
  const bool biased = desc.epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (!fits(la, lb, lc, ld) || (biased && desc.bias == nullptr)) return CUBLAS_STATUS_INVALID_VALUE;
  Choice choice;
  std::memcpy(&choice, algorithm, sizeof choice);
  if (!check_call(choice, hash_of(desc, la, lb, ld), {a, b, c, d}, workspace, workspace_bytes)) return CUBLAS_STATUS_INVALID_VALUE;

  Product product = {static_cast<int64_t>(ld.rows), static_cast<int64_t>(ld.cols), static_cast<int64_t>(la.rows), static_cast<const uint16_t*>(a),
                     static_cast<const uint16_t*>(b), la.stride, lb.stride, lc.stride, ld.stride, la.type == CUDA_R_16BF, static_cast<const float*>(alpha),
                     static_cast<const float*>(beta), static_cast<const float*>(c), biased ? static_cast<const float*>(desc.bias) : nullptr, static_cast<float*>(d)};
  const uint64_t order = mix(mix(settings().seed, ld.cols), ld.rows);
  Operation operation;
  operation.name = fmt::format("cublasLtMatmul of {} x {} x {}", ld.cols, la.rows, ld.rows);
  operation.reads = {{alpha, sizeof(float)}, {beta, sizeof(float)}};
  if (biased) operation.reads.push_back({desc.bias, ld.rows * sizeof(float)});
  add_range(operation.reads, a, la);
  add_range(operation.reads, b, lb);
  add_range(operation.writes, d, ld);
  if (choice.workspace > 0) operation.writes.push_back({workspace, choice.workspace});
  operation.run = [=, bytes = choice.workspace] {
    if (bytes > 0) std::memset(workspace, 0xFF, bytes);
    multiply(product, order);
  };
  return enqueue(stream, std::move(operation)) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
