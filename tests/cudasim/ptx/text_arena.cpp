#include "tests/cudasim/ptx/text_arena.h"

#include <sys/mman.h>

#include <cstring>
#include <mutex>

#include "tests/cudasim/core.h"

namespace cudasim::ptx {

namespace {

constexpr size_t kBytes = size_t{1} << 30;

struct Arena {
  std::mutex mutex;
  char* begin = nullptr;
  size_t used = 1;  // so that no text lies where the lowest bits are all zero
};

Arena& arena() {
  static auto& made = *new Arena;
  return made;
}

}  // namespace

const char* keep_text(std::string_view text) {
  Arena& all = arena();
  const std::lock_guard lock(all.mutex);
  if (all.begin == nullptr) {
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) unsupported("no address space for the texts of PTX instructions");
    all.begin = static_cast<char*>(memory);
  }
  if (all.used + text.size() + 1 > kBytes) unsupported("more than 1 GiB of PTX");
  char* copy = all.begin + all.used;
  std::memcpy(copy, text.data(), text.size());
  all.used += text.size() + 1;
  return copy;
}

const char* kept_text(uint32_t address_bits) {
  Arena& all = arena();
  const std::lock_guard lock(all.mutex);
  const uint32_t offset = address_bits - static_cast<uint32_t>(reinterpret_cast<uintptr_t>(all.begin));
  return all.begin != nullptr && offset > 0 && offset < all.used ? all.begin + offset : nullptr;
}

}  // namespace cudasim::ptx
