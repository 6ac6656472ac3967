#include "tests/cudasim/kernel_image.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <unordered_map>

namespace cudasim {
namespace {

struct Images {
  std::mutex mutex;
  std::unordered_map<const void*, std::unique_ptr<KernelImage>> by_function;
};

Images& images() {
  static auto& images = *new Images;
  return images;
}

void name_image(KernelImage& image) {
  Dl_info info{};
  if (dladdr(image.function, &info) == 0 || info.dli_sname == nullptr || info.dli_saddr != image.function) {
    image.name = image.mangled = "a kernel without a symbol";
    return;
  }
  image.mangled = image.name = info.dli_sname;
  int status = 0;
  if (char* readable = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status)) {
    image.name = readable;
    std::free(readable);
  }
}

std::unique_ptr<KernelImage> make_image(const void* function, const KernelDescription& description) {
  auto image = std::make_unique<KernelImage>();
  image->function = function;
  image->description = description;
  name_image(*image);
  size_t offset = 0;
  for (size_t i = 0; i < description.num_params; ++i) {
    const size_t alignment = description.alignments[i];
    offset = (offset + alignment - 1) / alignment * alignment;
    image->offsets.push_back(offset);
    offset += description.sizes[i];
  }
  image->param_bytes = offset;
  if (image->offsets.size() > 64 || offset > 4096) unsupported("kernel " + image->name + " has more than 64 parameters or 4096 bytes of them");
  if (ptx_wanted()) {
    image->ptx = find_ptx(image->mangled);
    if (image->ptx == nullptr) unsupported("CUDASIM_PTX has no entry " + image->mangled + " (is the kernel static, or in an anonymous namespace?)");
  }
  return image;
}

}  // namespace

void describe_kernel(const void* function, const KernelDescription& description) {
  const std::lock_guard lock(images().mutex);
  std::unique_ptr<KernelImage>& image = images().by_function[function];
  if (image == nullptr) image = make_image(function, description);
}

const KernelImage* find_image(const void* function) {
  const std::lock_guard lock(images().mutex);
  const auto found = images().by_function.find(function);
  return found == images().by_function.end() ? nullptr : found->second.get();
}

}  // namespace cudasim
