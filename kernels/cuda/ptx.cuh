// The only file with inline PTX: one function per instruction (PTX ISA 8.x manual), sm_80 and later. Under the simulator's C++ path (TERRACE_CUDASIM) each is its lane-wise emulation.
// Fragment layouts of ldmatrix and mma are the PTX manual's; who uses them names the element that a lane holds.
#pragma once

#ifndef TERRACE_CUDASIM
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include <cstdint>

namespace terrace::ptx {

// Dynamic shared memory of the block, 128-byte aligned: TERRACE_DYNAMIC_SHARED(name) declares `unsigned char* name` or an array.
#ifdef TERRACE_CUDASIM
#define TERRACE_DYNAMIC_SHARED(name) unsigned char* name = ::cudasim::dynamic_shared()
#else
#define TERRACE_DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
__device__ __forceinline__ uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }
#endif

/// Starts copying 16 bytes from global to shared memory, past L1; zeros where `valid` is false (`global` is then not read, but must be a valid pointer).
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid = true) {
#ifdef TERRACE_CUDASIM
  ::cudasim::cp_async(shared, global, 16, valid ? 16 : 0);
#else
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
#endif
}

/// The same for 8 bytes, by way of L1.
__device__ __forceinline__ void cp_async_8(void* shared, const void* global, bool valid = true) {
#ifdef TERRACE_CUDASIM
  ::cudasim::cp_async(shared, global, 8, valid ? 8 : 0);
#else
  const int bytes = valid ? 8 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
#endif
}

/// Closes this lane's group of copies.
__device__ __forceinline__ void cp_async_commit() {
#ifdef TERRACE_CUDASIM
  ::cudasim::cp_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most kPending of this lane's groups are under way; others see the data after a barrier.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#ifdef TERRACE_CUDASIM
  ::cudasim::cp_async_wait(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

/// Four 8x8 matrices of 16-bit elements; lane 8 i + r gives the address of row r of matrix i (16-byte aligned).
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#ifdef TERRACE_CUDASIM
  ::cudasim::ldmatrix_x4(r, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
#ifdef TERRACE_CUDASIM
  ::cudasim::ldmatrix_x4(r, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

/// d[16 x 8] += a[16 x 16] * b[16 x 8], float sums of f16 products.
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef TERRACE_CUDASIM
  ::cudasim::mma_16816(d, a, b0, b1, ::cudasim::MmaType::kF16);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// d = a * b: the first step of a sum.
__device__ __forceinline__ void mma_f16_first(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef TERRACE_CUDASIM
  for (float& element : d) element = 0;
  ::cudasim::mma_16816(d, a, b0, b1, ::cudasim::MmaType::kF16);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
               : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
#endif
}

/// mma_f16 of bf16 products.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef TERRACE_CUDASIM
  ::cudasim::mma_16816(d, a, b0, b1, ::cudasim::MmaType::kBf16);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// 2^x, to 2 units in the last place; subnormal results are zero.
__device__ __forceinline__ float exp2_approx(float x) {
#ifdef TERRACE_CUDASIM
  return ::cudasim::exp2_approx(x);
#else
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

/// Logarithm to base 2: within 2^-22 (absolute between 0.5 and 2, else relative); of 0, -infinity.
__device__ __forceinline__ float log2_approx(float x) {
#ifdef TERRACE_CUDASIM
  return ::cudasim::log2_approx(x);
#else
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

/// 16 bytes that this kernel reads once, kept out of L1.
__device__ __forceinline__ uint4 load_streaming(const void* global) {
#ifdef TERRACE_CUDASIM
  return *static_cast<const uint4*>(global);
#else
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(global));
  return v;
#endif
}

/// A word that another device (or the host) writes while this kernel runs: what its writer did before releasing it is seen from here on.
__device__ __forceinline__ uint32_t load_acquire_system(const uint32_t* global) {
#ifdef TERRACE_CUDASIM
  return static_cast<uint32_t>(::cudasim::load_system(global, sizeof *global, true, {__builtin_FILE(), __builtin_LINE()}));
#else
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(global) : "memory");
  return value;
#endif
}

/// Shows other devices what this thread has done, and what barriers have ordered before.
__device__ __forceinline__ void store_release_system(uint32_t* global, uint32_t value) {
#ifdef TERRACE_CUDASIM
  ::cudasim::store_system(global, value, sizeof value, true);
#else
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(global), "r"(value) : "memory");
#endif
}

/// Byte i of the result is byte (selector >> 4 i) & 7 of the eight bytes of a (0 .. 3) and b (4 .. 7).
__device__ __forceinline__ uint32_t byte_permute(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef TERRACE_CUDASIM
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return result;
#else
  return __byte_perm(a, b, selector);
#endif
}

/// a * b + c of two f16 each, rounded once.
__device__ __forceinline__ uint32_t fma_f16x2(uint32_t a, uint32_t b, uint32_t c) {
#ifdef TERRACE_CUDASIM
  uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [&](uint32_t pair) { return static_cast<double>(__half2float(__ushort_as_half(static_cast<unsigned short>(pair >> shift)))); };
    // Exact in double but for terms more than 2^30 apart.
    result |= static_cast<uint32_t>(__half_as_ushort(__double2half(half(a) * half(b) + half(c)))) << shift;
  }
  return result;
#else
  uint32_t result;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
#endif
}

}  // namespace terrace::ptx
