// What the code of a lane calls: device.h (kernels as C++) and the PTX interpreter stand on these functions alone. Only a running lane may call them,
// on the host thread that runs its kernel. No STL here: every .cu file includes this.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

namespace cudasim {

/// Where in the kernel a lane is: source file and line, or kernel and instruction number under the PTX interpreter. Lanes that meet must come from one site.
struct CallSite {
  const char* file = "?";
  int line = 0;
};

/// How to call a kernel from untyped argument pointers, and the sizes and alignments of its parameters.
struct KernelDescription {
  size_t num_params = 0;
  const size_t* sizes = nullptr;
  const size_t* alignments = nullptr;
  void (*call)(const void* function, void** args) = nullptr;
};
/// Host code, before each launch or attribute call; the arrays are static. Any thread.
void describe_kernel(const void* function, const KernelDescription& description);

// The lane's coordinates. Constant for the life of a lane, hence the attribute: the compiler may keep them in registers across anything.
__attribute__((const)) uint3 thread_index();
__attribute__((const)) uint3 block_index();
__attribute__((const)) dim3 block_size();
__attribute__((const)) dim3 grid_size();

/// Waits for `count` lanes of the block at barrier `id` (0-15); count 0: all lanes that have not exited. Arrivals from two sites are an error.
void barrier(int id, int count, CallSite site);

/// What a warp does together. `immediate` and `width` as the column says; in and out bytes are those of one lane.
enum class WarpOp : uint8_t {
  kSync,                                           // no data; the only one that orders memory
  kShuffle, kShuffleUp, kShuffleDown, kShuffleXor, // immediate: source lane, delta or mask; width: 1, 2, 4 ... 32; up to 8 bytes
  kBallot, kAny, kAll,                             // in: int, 0 or 1; out: uint32
  kMatchAny,                                       // in: up to 8 bytes; out: uint32, the lanes of equal value
  kAddU32, kMinU32, kMaxU32, kMinS32, kMaxS32, kAnd, kOr, kXor,  // in, out: 4 bytes
  kLdmatrix,                                       // in: the row's address (8 bytes); immediate: matrices (1, 2, 4); width: 1 if transposed; out: 4 bytes a matrix
  kMmaF16, kMmaBf16,                               // m16n8k16; in: MmaOperands; out: float[4]
};
struct MmaOperands {
  uint32_t a[4], b[2];
  float c[4];
};

/// Blocks until all lanes of `mask` have come with the same op, mask and site; a lane that shuffles from one outside the mask gets 0xFF bytes.
void warp_collective(WarpOp op, unsigned mask, const void* in, int in_bytes, void* out, int out_bytes, int immediate, int width, CallSite site);

/// cp.async of 4, 8 or 16 bytes, zero-filled above `valid_bytes`. Lands at the wait, at once, or by seed (CUDASIM_CPASYNC).
void cp_async(void* shared, const void* global, int bytes, int valid_bytes);
void cp_async_commit();
void cp_async_wait(int pending);  // until at most `pending` committed groups are under way
void cp_async_wait_all();

unsigned char* dynamic_shared();

/// An access that no instrumentation sees (atomics, emulated instructions): told to the checker.
void touch(const void* address, int bytes, bool write, bool atomic);

/// ld.{acquire,relaxed}.sys and st.{release,relaxed}.sys of 4 or 8 bytes. A lane that loads the same value from the same place again waits for another device: the rest of its block, other
/// kernels and idle devices go on meanwhile. `instruction`: of the interpreter; C++ has the site alone.
uint64_t load_system(const void* address, int bytes, bool acquire, CallSite site, const char* instruction = nullptr);
void store_system(void* address, uint64_t value, int bytes, bool release, const char* instruction = nullptr);

/// Ends the kernel with a finding; this lane does not go on.
[[noreturn]] void lane_trap(const char* what, CallSite site);

}  // namespace cudasim
