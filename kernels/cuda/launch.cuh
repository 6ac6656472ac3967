// The only way a kernel is launched: arguments converted to the kernel's parameter types, status checked. Used from .cu files, on the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <type_traits>

#include "kernels/cuda/check.h"

namespace terrace {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic; above 48 KiB the kernel needs allow_shared_bytes() first
  cudaStream_t stream = nullptr;
};

namespace launch_detail {
#ifdef TERRACE_CUDASIM
// A function pointer has lost its parameters when cudaLaunchKernel sees it: tell the simulator how to call it and how the driver would lay its parameters out.
template <typename... Params>
void describe(void (*kernel)(Params...)) {
  static_assert((std::is_trivially_copyable_v<Params> && ...));
  static constexpr size_t kSizes[] = {sizeof(Params)..., 0};
  static constexpr size_t kAlignments[] = {alignof(Params)..., 0};
  const auto call = [](const void* function, void** args) {
    const auto typed = reinterpret_cast<void (*)(Params...)>(const_cast<void*>(function));
    [&]<size_t... I>(std::index_sequence<I...>) { typed(*static_cast<Params*>(args[I])...); }(std::index_sequence_for<Params...>{});
  };
  ::cudasim::describe_kernel(reinterpret_cast<const void*>(kernel), {sizeof...(Params), kSizes, kAlignments, +call});
}
#else
template <typename... Params>
void describe(void (*)(Params...)) {}
#endif
}  // namespace launch_detail

/// Queues kernel(args...) on the stream; `name` stands in the error's sentence.
template <typename... Params>
void launch(const char* name, const LaunchShape& shape, void (*kernel)(Params...), const std::type_identity_t<Params>&... args) {
  launch_detail::describe(kernel);
  void* pointers[] = {const_cast<void*>(static_cast<const void*>(&args))..., nullptr};
  check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), shape.grid, shape.block, pointers, shape.shared_bytes, shape.stream), name);
}

/// Once per kernel that takes more than 48 KiB of dynamic shared memory.
template <typename... Params>
void allow_shared_bytes(const char* name, void (*kernel)(Params...), int bytes) {
  launch_detail::describe(kernel);
  check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), name);
}

}  // namespace terrace
