#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace terrace {

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
  if (name != "auto" && name != "cpu") {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("backend: \"{}\" is not in this build, which has: auto, cpu", name));
  }
  return std::make_unique<CpuBackend>(options, configured_isa(options.isa));
}

}  // namespace terrace
