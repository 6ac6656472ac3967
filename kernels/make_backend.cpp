#include <fmt/format.h>

#include <cstdlib>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace terrace {

std::unique_ptr<Backend> make_backend(const std::string& name, const BackendOptions& options) {
  if (name != "auto" && name != "cpu") {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("backend: \"{}\" is not in this build, which has: auto, cpu", name));
  }
  std::string cap = options.isa;
  if (const char* variable = std::getenv("TERRACE_ISA"); cap.empty() && variable != nullptr) cap = variable;
  return std::make_unique<CpuBackend>(options, choose_isa(cap));
}

}  // namespace terrace
