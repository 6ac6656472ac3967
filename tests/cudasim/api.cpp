#include "tests/cudasim/api.h"

namespace cudasim {

cudaError_t& last_api_error() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_api_error() = error;
  return error;
}

cudaError_t machine_error(const char* function) {
  if (!settings().driver) return cudaErrorInsufficientDriver;
  if (settings().num_devices == 0) return cudaErrorNoDevice;
  if (current_lane != nullptr) unsupported(fmt::format("{} from a kernel", function));
  if (in_operation()) {
    report(fmt::format("{} from inside a stream operation (a host function may not call CUDA)", function));
    return cudaErrorNotPermitted;
  }
  return cudaSuccess;
}

}  // namespace cudasim
