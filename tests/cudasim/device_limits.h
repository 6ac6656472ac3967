// The simulated device's limits: those of compute capability 8.0, and the shared memory of the consumer's devices where one is simulated (CUDA C++ programming guide, "Technical Specifications per Compute Capability").
#pragma once

#include <cstddef>

namespace cudasim {

inline constexpr size_t kSharedBytes = size_t{48} << 10;           // without cudaFuncSetAttribute
/// With it. Of capability 10 x major + minor.
constexpr size_t shared_bytes_opt_in(int capability) { return size_t{capability == 86 || capability == 89 || capability >= 120 ? 99u : 163u} << 10; }
inline constexpr size_t kSharedBytesReserved = size_t{1} << 10;    // per block
constexpr size_t shared_bytes_per_multiprocessor(int capability) { return shared_bytes_opt_in(capability) + kSharedBytesReserved; }
inline constexpr int kRegisters = 65536;
inline constexpr int kAssumedRegisters = 64;                       // per thread, where a kernel's number is not known
inline constexpr int kMaxThreadsPerMultiprocessor = 2048;
inline constexpr int kMaxBlocksPerMultiprocessor = 32;
inline constexpr int kL2Bytes = 40 << 20;

}  // namespace cudasim
