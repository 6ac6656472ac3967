// The library of the folder that CUDASIM_PTX names, made when a kernel is first looked for.
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/cudasim/checker/install.h"
#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/library.h"

namespace cudasim {

namespace {

struct Folder {
  Folder() {
    const char* path = std::getenv("CUDASIM_PTX");
    if (path == nullptr || *path == '\0') return;
    try {
      library = std::make_unique<ptx::Library>(path);
      install_race_checker();
    } catch (const ptx::PtxError& error) {
      unsupported(fmt::format("CUDASIM_PTX: {}", error.what()));
    }
  }
  ~Folder() {
    if (library && settings().statistics) std::fputs(library->statistics().c_str(), stderr);
  }
  std::unique_ptr<ptx::Library> library;
};

Folder& folder() {
  static Folder made;
  return made;
}

}  // namespace

bool ptx_wanted() { return folder().library != nullptr; }

const PtxKernel* find_ptx(const std::string& mangled_name) {
  if (!ptx_wanted()) return nullptr;
  try {
    return folder().library->find(mangled_name);
  } catch (const ptx::PtxError& error) {
    unsupported(error.what());
  }
}

bool ptx::owns_variable(const void* address, size_t bytes) { return ptx_wanted() && folder().library->owns(address, bytes); }

}  // namespace cudasim
