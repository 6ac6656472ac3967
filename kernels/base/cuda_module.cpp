#include "kernels/base/cuda_module.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr const char* kFileName = "libterrace_cuda.so";

std::string module_path() {
  if (const char* named = std::getenv("TERRACE_CUDA_MODULE")) return named;
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const std::filesystem::path& path : {folder / kFileName, folder / "../lib/terrace" / kFileName}) {
    if (std::filesystem::exists(path, ignored)) return path.lexically_normal();
  }
  return "";
}

void* open_module() {
  const std::string path = module_path();
  if (path.empty()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("backend: this installation has no CUDA module ({} beside the executable): build where the CUDA toolkit and NCCL are, or say backend: cpu", kFileName));
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) throw Error(ErrorCode::kInvalidValue, fmt::format("backend: the CUDA module cannot be opened: {}", dlerror()));
  const auto* version = static_cast<const int*>(dlsym(handle, "terrace_cuda_module_version"));
  if (version == nullptr || *version != kCudaModuleVersion) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("backend: {} is of another build than this program: install both from one build", path));
  }
  return handle;
}

}  // namespace

void* cuda_module_entry(const char* symbol) {
  static void* const handle = open_module();  // throws again at the next call if it failed
  void* entry = dlsym(handle, symbol);
  if (entry == nullptr) throw Error(ErrorCode::kInternal, fmt::format("the CUDA module has no {}", symbol));
  return entry;
}

bool cuda_is_likely() {
  if (std::getenv("TERRACE_CUDA_MODULE") != nullptr) return true;
  return !module_path().empty() && access("/dev/nvidiactl", F_OK) == 0;
}

}  // namespace terrace
