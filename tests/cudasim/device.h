// What a .cu file sees when it is compiled as plain C++ for the simulator (force-included): CUDA's keywords, built-in variables and intrinsics. Nothing else includes it.
// NVIDIA's own cuda_fp16.h and cuda_bf16.h compute on the host. Call sites come from __builtin_LINE(), since a host compiler may duplicate a call.
// What is missing here is a compile error: add it with the meaning that the CUDA programming guide gives.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "tests/cudasim/kernel_api.h"

// ---- keywords ----
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#if __has_feature(address_sanitizer)
#define __shared__ static  // with red zones, but without the 0xFF of a new block
#else
#define __shared__ static __attribute__((section("cudasim_shared")))  // one range, so that it can be filled
#endif

// ---- built-in variables ----
#define threadIdx (::cudasim::thread_index())
#define blockIdx (::cudasim::block_index())
#define blockDim (::cudasim::block_size())
#define gridDim (::cudasim::grid_size())
constexpr int warpSize = 32;

#define CUDASIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace cudasim {

template <typename To, typename From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

template <typename T>
T shuffle(WarpOp op, unsigned mask, T value, int immediate, int width, CallSite site) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  T result;
  warp_collective(op, mask, &value, sizeof value, &result, sizeof result, immediate, width, site);
  return result;
}

inline uint32_t vote(WarpOp op, unsigned mask, uint32_t value, CallSite site) {
  uint32_t result;
  warp_collective(op, mask, &value, sizeof value, &result, sizeof result, 0, 32, site);
  return result;
}

enum class MmaType { kF16, kBf16 };

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, bool transposed, CUDASIM_SITE) {
  warp_collective(WarpOp::kLdmatrix, ~0u, &row, sizeof row, r, sizeof r, 4, transposed, {file, line});
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row, bool transposed, CUDASIM_SITE) {
  warp_collective(WarpOp::kLdmatrix, ~0u, &row, sizeof row, r, sizeof r, 2, transposed, {file, line});
}
inline void mma_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, MmaType type, CUDASIM_SITE) {
  const MmaOperands in = {{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
  warp_collective(type == MmaType::kF16 ? WarpOp::kMmaF16 : WarpOp::kMmaBf16, ~0u, &in, sizeof in, d, sizeof d, 0, 32, {file, line});
}

inline float flush_subnormal(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
inline float exp2_approx(float x) { return flush_subnormal(std::exp2(flush_subnormal(x))); }
inline float log2_approx(float x) { return std::log2(flush_subnormal(x)); }

}  // namespace cudasim

// ---- meeting ----
inline void __syncthreads(CUDASIM_SITE) { ::cudasim::barrier(0, 0, {file, line}); }
inline void __syncwarp(unsigned mask = ~0u, CUDASIM_SITE) { ::cudasim::warp_collective(::cudasim::WarpOp::kSync, mask, nullptr, 0, nullptr, 0, 0, 32, {file, line}); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDASIM_SITE) {
  return ::cudasim::shuffle(::cudasim::WarpOp::kShuffle, mask, value, source, width, {file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDASIM_SITE) {
  return ::cudasim::shuffle(::cudasim::WarpOp::kShuffleUp, mask, value, static_cast<int>(delta), width, {file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDASIM_SITE) {
  return ::cudasim::shuffle(::cudasim::WarpOp::kShuffleDown, mask, value, static_cast<int>(delta), width, {file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, CUDASIM_SITE) {
  return ::cudasim::shuffle(::cudasim::WarpOp::kShuffleXor, mask, value, lane_mask, width, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kBallot, mask, predicate != 0, {file, line}); }
inline int __any_sync(unsigned mask, int predicate, CUDASIM_SITE) { return static_cast<int>(::cudasim::vote(::cudasim::WarpOp::kAny, mask, predicate != 0, {file, line})); }
inline int __all_sync(unsigned mask, int predicate, CUDASIM_SITE) { return static_cast<int>(::cudasim::vote(::cudasim::WarpOp::kAll, mask, predicate != 0, {file, line})); }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, CUDASIM_SITE) {
  unsigned result;
  ::cudasim::warp_collective(::cudasim::WarpOp::kMatchAny, mask, &value, sizeof value, &result, sizeof result, 0, 32, {file, line});
  return result;
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kAddU32, mask, value, {file, line}); }
inline int __reduce_add_sync(unsigned mask, int value, CUDASIM_SITE) { return static_cast<int>(::cudasim::vote(::cudasim::WarpOp::kAddU32, mask, static_cast<unsigned>(value), {file, line})); }
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kMinU32, mask, value, {file, line}); }
inline int __reduce_min_sync(unsigned mask, int value, CUDASIM_SITE) { return static_cast<int>(::cudasim::vote(::cudasim::WarpOp::kMinS32, mask, static_cast<unsigned>(value), {file, line})); }
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kMaxU32, mask, value, {file, line}); }
inline int __reduce_max_sync(unsigned mask, int value, CUDASIM_SITE) { return static_cast<int>(::cudasim::vote(::cudasim::WarpOp::kMaxS32, mask, static_cast<unsigned>(value), {file, line})); }
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kAnd, mask, value, {file, line}); }
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kOr, mask, value, {file, line}); }
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, CUDASIM_SITE) { return ::cudasim::vote(::cudasim::WarpOp::kXor, mask, value, {file, line}); }

// Lanes change at meetings only, so fences have nothing to do; the checker gives them no meaning either.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// ---- atomics: whole, because lanes change at meetings only ----
#define CUDASIM_ATOMIC template <typename T> __attribute__((noinline, no_sanitize("thread"))) T
namespace cudasim {
template <typename T, typename Change>
__attribute__((noinline, no_sanitize("thread"))) T atomic_change(T* address, Change change) {
  touch(address, sizeof(T), true, true);
  const T old = *address;
  *address = change(old);
  return old;
}
}  // namespace cudasim
CUDASIM_ATOMIC atomicAdd(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return static_cast<T>(old + value); }); }
CUDASIM_ATOMIC atomicSub(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return static_cast<T>(old - value); }); }
CUDASIM_ATOMIC atomicMin(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return value < old ? value : old; }); }
CUDASIM_ATOMIC atomicMax(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return value > old ? value : old; }); }
CUDASIM_ATOMIC atomicAnd(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return static_cast<T>(old & value); }); }
CUDASIM_ATOMIC atomicOr(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return static_cast<T>(old | value); }); }
CUDASIM_ATOMIC atomicExch(T* address, std::type_identity_t<T> value) { return ::cudasim::atomic_change(address, [=](T) __attribute__((no_sanitize("thread"))) { return value; }); }
CUDASIM_ATOMIC atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return ::cudasim::atomic_change(address, [=](T old) __attribute__((no_sanitize("thread"))) { return old == expected ? value : old; });
}

// ---- loads and stores with cache hints ----
template <typename T> T __ldg(const T* address) { return *address; }
template <typename T> T __ldcg(const T* address) { return *address; }
template <typename T> T __ldca(const T* address) { return *address; }
template <typename T> T __ldcs(const T* address) { return *address; }
template <typename T> void __stcg(T* address, std::type_identity_t<T> value) { *address = value; }
template <typename T> void __stcs(T* address, std::type_identity_t<T> value) { *address = value; }

// ---- numbers; the approximate ones are exact here, so a test's tolerance must allow a device's error ----
inline float __expf(float x) { return std::exp(x); }
inline float __exp2f(float x) { return std::exp2(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __saturatef(float x) { return x > 0.0f ? std::fmin(x, 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::lrint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(std::floor(x)); }
inline int __float2int_ru(float x) { return static_cast<int>(std::ceil(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline int __float_as_int(float x) { return ::cudasim::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return ::cudasim::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return ::cudasim::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return ::cudasim::bits_as<float>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) { return __builtin_bitreverse32(x); }
inline int __mulhi(int a, int b) { return static_cast<int>((int64_t{a} * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) { return static_cast<unsigned>(((uint64_t{high} << 32 | low) << (shift & 31)) >> 32); }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) { return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31)); }
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> (4 * i) & 15;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (nibble & 7))) & 255;
    if (nibble & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i));
  return c;
}
// cuda_fp16.h and cuda_bf16.h lack these on the host. The sum is made odd where it is not exact, so that rounding it again rounds once.
namespace cudasim {
inline double fma_odd(double a, double b, double c) {
  const double product = a * b, sum = product + c;  // the product of two 11-bit numbers is exact
  const double part = sum - product, error = (product - (sum - part)) + (c - part);
  if (error == 0 || !std::isfinite(sum) || (bits_as<uint64_t>(sum) & 1) != 0) return sum;
  return std::nextafter(sum, error > 0 ? HUGE_VAL : -HUGE_VAL);
}
}  // namespace cudasim
inline __half __hfma(__half a, __half b, __half c) { return __double2half(::cudasim::fma_odd(__half2float(a), __half2float(b), __half2float(c))); }
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __double2bfloat16(::cudasim::fma_odd(__bfloat162float(a), __bfloat162float(b), __bfloat162float(c)));
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned long min(unsigned long a, unsigned long b) { return a < b ? a : b; }
inline unsigned long max(unsigned long a, unsigned long b) { return a > b ? a : b; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }

[[noreturn]] inline void __trap(CUDASIM_SITE) { ::cudasim::lane_trap("__trap()", {file, line}); }

#undef CUDASIM_ATOMIC
