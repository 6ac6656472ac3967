#include "tests/cudasim/checker/site.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/cudasim/ptx/text_arena.h"

namespace cudasim {

namespace {

/// First line of what a command prints, or nothing.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  char line[512] = "";
  if (pipe == nullptr || std::fgets(line, sizeof line, pipe.get()) == nullptr) return {};
  std::string text(line);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

/// File and line by addr2line, where it is installed and the code has line tables; else function and offset.
std::string describe_code(const void* pc) {
  Dl_info info;
  if (dladdr(pc, &info) == 0 || info.dli_fname == nullptr) return fmt::format("{}", pc);
  const uintptr_t offset = reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(info.dli_fbase) - 1;  // the call itself
  const std::string place = output_of(fmt::format("addr2line -e '{}' {:#x} 2>/dev/null", info.dli_fname, offset));
  if (!place.empty() && place[0] != '?') {
    const std::string name = place.substr(place.rfind('/') + 1);
    return name.substr(0, name.find(' '));  // without "(discriminator 2)"
  }
  if (info.dli_sname == nullptr) return fmt::format("{}+{:#x}", info.dli_fname, offset);
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
  return fmt::format("{}+{:#x}", readable ? readable.get() : info.dli_sname, reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(info.dli_saddr));
}

}  // namespace

std::string describe_site(const Access& access) {
  if (access.instruction != nullptr) return access.instruction;
  if (access.pc != nullptr) return describe_code(access.pc);
  return access.async ? "cp.async" : "an unknown place";
}

std::string describe_site(uint32_t bits) {
  if (bits == 0) return "cp.async";
  const KernelImage& image = *current_block->kernel->image;
  if (image.ptx != nullptr) {
    const char* text = ptx::kept_text(bits);
    return text != nullptr ? text : "an emulated instruction";
  }
  // A kernel and what it calls lie within 2 GiB of each other.
  const auto* function = static_cast<const char*>(image.function);
  return describe_code(function + static_cast<int32_t>(bits - static_cast<uint32_t>(reinterpret_cast<uintptr_t>(function))));
}

}  // namespace cudasim
