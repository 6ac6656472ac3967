#include "kernels/cpu/weight_arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kChunkBytes = size_t{64} << 20;  // of address space; pages are taken when they are touched

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

std::shared_ptr<uint8_t> map_chunk(size_t bytes) {
  const size_t mapped = bytes + kHugePage;  // room to align
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw Error(ErrorCode::kOutOfMemory, fmt::format("no memory for {} MiB of weights or of what they multiply: use more ranks, or fewer scheduler.max_tokens_per_step", bytes >> 20));
  const auto address = reinterpret_cast<uintptr_t>(base);
  auto* aligned = reinterpret_cast<uint8_t*>(round_up(address, kHugePage));
  madvise(aligned, bytes, MADV_HUGEPAGE);  // only advice: small pages are right, and slower
  return {aligned, [base, mapped](uint8_t*) { munmap(base, mapped); }};
}

}  // namespace

std::shared_ptr<uint8_t> WeightArena::allocate(size_t bytes) {
  if (chunk_ == nullptr || used_ + bytes > chunk_bytes_) {
    chunk_bytes_ = round_up(std::max(bytes, kChunkBytes), kHugePage);
    chunk_ = map_chunk(chunk_bytes_);
    used_ = 0;
  }
  std::shared_ptr<uint8_t> memory(chunk_, chunk_.get() + used_);
  used_ = round_up(used_ + bytes, 64);
  return memory;
}

}  // namespace terrace
