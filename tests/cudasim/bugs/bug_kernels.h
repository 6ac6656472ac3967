// Kernels with one bug each, and their clean twins: what the simulator must find, and where it must be silent. Host code may include this.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

namespace bugs {

/// 4096 floats of device memory, zeroed, and the same of memory that nobody wrote.
struct Memory {
  float* zeros;
  float* fresh;
};

enum class Path { kBoth, kPtxOnly };

struct Case {
  const char* name;
  std::vector<std::string> findings;  // one of them must be part of a finding; none: there must be no finding at all
  void (*launch)(const Memory& memory, cudaStream_t stream);
  Path path = Path::kBoth;  // some are seen only in what nvcc emits
};

std::vector<Case> shared_memory_cases();
std::vector<Case> warp_cases();
std::vector<Case> device_memory_cases();
std::vector<Case> async_copy_cases();

}  // namespace bugs
