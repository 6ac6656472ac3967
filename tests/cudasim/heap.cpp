#include "tests/cudasim/heap.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tests/cudasim/fiber.h"
#include "tests/cudasim/memory_map.h"

namespace cudasim {
namespace {

constexpr size_t kPage = 4096;
constexpr unsigned char kPoison = 0xff;

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Heap::Heap(int device, size_t capacity_bytes) : device_(device), capacity_bytes_(capacity_bytes) {
  void* memory = mmap(nullptr, kAddressSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) unsupported("no address space for a device's memory");
  base_ = next_ = static_cast<unsigned char*>(memory);
  // Pages behind the end of an empty file raise SIGBUS whatever their protection, so open() need not step around them.
  forbidden_file_ = memfd_create("cudasim-forbidden", MFD_CLOEXEC);
  if (forbidden_file_ < 0) unsupported("memfd_create failed");
}

void Heap::map_forbidden(unsigned char* begin, size_t bytes) {
  // Offsets follow addresses, so that neighbouring ranges become one mapping.
  void* mapped = mmap(begin, bytes, depth_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE, MAP_PRIVATE | MAP_FIXED, forbidden_file_, begin - base_);
  if (mapped == MAP_FAILED) unsupported("a guard page of device memory cannot be mapped (too many allocations?)");
}

void* Heap::allocate(size_t bytes, bool imported) {
  const std::lock_guard lock(mutex_);
  const size_t room = pages(bytes);
  if (!imported && room > free_bytes()) return nullptr;
  if (next_ + room + kPage > base_ + kAddressSpace) unsupported("a device's addresses are used up: this process has allocated 256 GiB in all");
  unsigned char* memory = next_;
  next_ += room + kPage;
  if (!imported) live_bytes_ += room;
  map_forbidden(memory + room, kPage);
  const OpenHeap open(*this);
  mprotect(memory, room, PROT_READ | PROT_WRITE);
  madvise(memory, room, MADV_HUGEPAGE);
  std::memset(memory, kPoison, room);
  poison_memory(memory + bytes, room - bytes);
  AllocationInfo info;
  info.kind = MemoryKind::kDevice;
  info.device = device_, info.begin = memory, info.bytes = bytes, info.number = ++num_allocations_, info.imported = imported;
  MemoryMap::get().add(info);
  return memory;
}

bool Heap::release(void* memory) {
  const std::lock_guard lock(mutex_);
  const AllocationInfo info = MemoryMap::get().below(memory);
  if (info.kind != MemoryKind::kDevice || info.begin != memory || info.device != device_) return false;
  const size_t room = pages(info.bytes);
  unpoison_memory(memory, room);
  {
    const OpenHeap open(*this);
    const unsigned char* end = info.begin + info.bytes;
    const unsigned char* changed = std::find_if(end, info.begin + room, [](unsigned char byte) { return byte != kPoison; });
    if (changed != info.begin + room) report("something has written past the end: " + describe_address(changed));
  }
  MemoryMap::get().mark_freed(memory);
  if (!info.imported) live_bytes_ -= room;
  map_forbidden(static_cast<unsigned char*>(memory), room);
  return true;
}

void Heap::protect(int protection) {
  if (next_ > base_ && mprotect(base_, static_cast<size_t>(next_ - base_), protection) != 0) unsupported("mprotect of device memory failed");
}

void Heap::open() {
  const std::lock_guard lock(mutex_);
  if (depth_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void Heap::close() {
  const std::lock_guard lock(mutex_);
  if (--depth_ == 0) protect(PROT_NONE);
}

}  // namespace cudasim
