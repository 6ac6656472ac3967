#include "tests/cudasim/checker/shadow_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace cudasim {

namespace {

constexpr size_t kSmall = 64 << 10;  // smaller arrays come from the heap

template <typename T>
T* zeros(size_t count) {
  const size_t bytes = count * sizeof(T);
  void* memory = bytes < kSmall ? std::calloc(count, sizeof(T)) : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == nullptr || memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(memory);
}

template <typename T>
void release(T* memory, size_t count) {
  if (memory == nullptr) return;
  if (count * sizeof(T) < kSmall) {
    std::free(memory);
  } else {
    munmap(memory, count * sizeof(T));
  }
}

template <typename T>
void clear(T* memory, size_t count) {
  if (count * sizeof(T) < kSmall) {
    std::memset(static_cast<void*>(memory), 0, count * sizeof(T));
  } else {
    madvise(memory, count * sizeof(T), MADV_DONTNEED);  // zeros again at the next touch
  }
}

}  // namespace

ShadowMemory::ShadowMemory(const void* begin, size_t bytes)
    : begin_(reinterpret_cast<uintptr_t>(begin)), end_(begin_ + bytes), granules_((bytes + kGranule - 1) / kGranule + 1) {
  writes_ = zeros<uint64_t>(granules_);
  reads_ = zeros<Reads>(granules_);
  write_sites_ = zeros<uint32_t>(granules_);
  read_sites_ = zeros<ReadSites>(granules_);
  states_ = zeros<uint8_t>(granules_);
}

ShadowMemory::~ShadowMemory() {
  release(writes_, granules_);
  release(reads_, granules_);
  release(write_sites_, granules_);
  release(read_sites_, granules_);
  release(states_, granules_);
}

ShadowMemory& ShadowMemory::operator=(ShadowMemory&& other) noexcept {
  std::swap(begin_, other.begin_);
  std::swap(end_, other.end_);
  std::swap(granules_, other.granules_);
  std::swap(writes_, other.writes_);
  std::swap(reads_, other.reads_);
  std::swap(write_sites_, other.write_sites_);
  std::swap(read_sites_, other.read_sites_);
  std::swap(states_, other.states_);
  return *this;
}

template <typename Change>
void ShadowMemory::each(uintptr_t address, size_t bytes, Change change) {
  const uintptr_t first = std::max(address, begin_), last = std::min(address + bytes, end_);
  for (uintptr_t at = first; at < last;) {
    const size_t granule = (at - begin_) / kGranule;
    const uintptr_t next = std::min(last, begin_ + (granule + 1) * kGranule);
    const unsigned from = static_cast<unsigned>((at - begin_) % kGranule), count = static_cast<unsigned>(next - at);
    change(states_[granule], static_cast<uint8_t>(((1u << count) - 1) << from));
    at = next;
  }
}

void ShadowMemory::define(uintptr_t address, size_t bytes, bool defined) {
  each(address, bytes, [defined](uint8_t& state, uint8_t mask) { state = static_cast<uint8_t>(defined ? state | mask : state & ~mask); });
}

void ShadowMemory::set_pending(uintptr_t address, size_t bytes, bool pending) {
  each(address, bytes, [pending](uint8_t& state, uint8_t mask) { state = static_cast<uint8_t>(pending ? state | mask << 4 : state & ~(mask << 4)); });
}

void ShadowMemory::forget_contents() { clear(states_, granules_); }

void ShadowMemory::forget_accesses() {
  clear(writes_, granules_);
  clear(reads_, granules_);
}

}  // namespace cudasim
