#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/base/cuda_module.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/cpu/cpu_backend.h"

namespace terrace {
namespace {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options, configured_isa(options.isa));
}

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  using Make = Backend* (*)(const BackendOptions*);
  return std::unique_ptr<Backend>(reinterpret_cast<Make>(cuda_module_entry("terrace_make_cuda_backend"))(&options));
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
  if (name == "cpu") return make_cpu_backend(options);
  if (name == "cuda") return make_cuda_backend(options);
  if (name != "auto") throw Error(ErrorCode::kInvalidValue, fmt::format("backend: \"{}\" does not exist; there are: auto, cpu, cuda", name));
  if (!cuda_is_likely()) return make_cpu_backend(options);
  try {
    return make_cuda_backend(options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidValue) throw;
    log_warning(fmt::format("{}; going on with the CPU", error.what()));
    return make_cpu_backend(options);
  }
}

}  // namespace terrace
