// The CUDA module: a shared library with kernels/cuda and comm/nccl, opened only when a device is wanted, because cuBLAS and NCCL cost seconds of start-up. Any thread.
// It lies beside the executable or in ../lib/terrace (libterrace_cuda.so), or where TERRACE_CUDA_MODULE says (the tests' simulator).
#pragma once

#include <string>

namespace terrace {

/// The address of an entry of the module. Throws kInvalidValue with the reason if it cannot be opened, or was built from other sources.
void* cuda_module_entry(const char* symbol);

/// Whether `backend: auto` should try CUDA: the module is named by TERRACE_CUDA_MODULE, or it is there and so is a driver.
bool cuda_is_likely();

/// Sources that differ in this must not meet: bump it when an interface that crosses the module's edge changes.
inline constexpr int kCudaModuleVersion = 3;

}  // namespace terrace
