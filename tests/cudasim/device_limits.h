// The simulated device's limits: those of compute capability 8.0 (CUDA C++ programming guide, "Technical Specifications per Compute Capability").
#pragma once

#include <cstddef>

namespace cudasim {

inline constexpr size_t kSharedBytes = size_t{48} << 10;           // without cudaFuncSetAttribute
inline constexpr size_t kSharedBytesOptIn = size_t{163} << 10;     // with it
inline constexpr size_t kSharedBytesReserved = size_t{1} << 10;    // per block
inline constexpr size_t kSharedBytesPerMultiprocessor = size_t{164} << 10;
inline constexpr int kRegisters = 65536;
inline constexpr int kAssumedRegisters = 64;                       // per thread, where a kernel's number is not known
inline constexpr int kMaxThreadsPerMultiprocessor = 2048;
inline constexpr int kMaxBlocksPerMultiprocessor = 32;
inline constexpr int kL2Bytes = 40 << 20;

}  // namespace cudasim
