#include "tests/cudasim/pinned_guard.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

namespace cudasim {
namespace {

constexpr uintptr_t kPage = 4096;

thread_local std::vector<std::pair<uintptr_t, uintptr_t>> opened;

// The pages around the range that are wholly inside its allocation's own pages: a whole cudaHostAlloc, or the inner pages of registered memory.
std::pair<uintptr_t, uintptr_t> closable_pages(uintptr_t begin, uintptr_t end) {
  const AllocationInfo info = find_allocation(reinterpret_cast<const void*>(begin), 1);
  if (info.kind != MemoryKind::kPinned) return {0, 0};
  const auto base = reinterpret_cast<uintptr_t>(info.begin);
  const bool own_pages = info.number != 0;  // of cudaHostAlloc; see host_memory.cpp
  const uintptr_t first = own_pages ? base : (base + kPage - 1) / kPage * kPage;
  const uintptr_t last = own_pages ? (base + info.bytes + kPage - 1) / kPage * kPage : (base + info.bytes) / kPage * kPage;
  return {std::max(begin / kPage * kPage, first), std::min((end + kPage - 1) / kPage * kPage, last)};
}

}  // namespace

PinnedGuard& PinnedGuard::get() {
  static auto& guard = *new PinnedGuard;
  return guard;
}

// Sets the pages of the range as the pending operations want them.
void PinnedGuard::protect(uintptr_t begin, uintptr_t end) {
  const auto [first, last] = closable_pages(begin, end);
  if (first >= last) return;
  mprotect(reinterpret_cast<void*>(first), last - first, PROT_READ | PROT_WRITE);
  for (const bool write : {false, true}) {
    for (const Pending& pending : pending_) {
      if (pending.write != write) continue;
      const uintptr_t from = std::max(first, pending.begin / kPage * kPage), to = std::min(last, (pending.end + kPage - 1) / kPage * kPage);
      if (from < to) mprotect(reinterpret_cast<void*>(from), to - from, write ? PROT_NONE : PROT_READ);
    }
  }
}

void PinnedGuard::add(const MemoryRange& range, bool write, int device, size_t stream, uint64_t count, const std::string& name) {
  const auto begin = reinterpret_cast<uintptr_t>(range.begin);
  const std::lock_guard lock(mutex_);
  pending_.push_back({begin, begin + range.bytes, write, device, stream, count, name});
  protect(begin, begin + range.bytes);
}

void PinnedGuard::release(int device, const Clock& clock) {
  const std::lock_guard lock(mutex_);
  const auto waited_for = [&](const Pending& pending) { return pending.device == device && clock.of(pending.stream) >= pending.count; };
  const auto kept = std::stable_partition(pending_.begin(), pending_.end(), [&](const Pending& pending) { return !waited_for(pending); });
  const std::vector<Pending> released(kept, pending_.end());
  pending_.erase(kept, pending_.end());
  for (const Pending& pending : released) protect(pending.begin, pending.end);
}

void PinnedGuard::forget(const void* memory, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const std::lock_guard lock(mutex_);
  std::erase_if(pending_, [&](const Pending& pending) { return pending.begin < begin + bytes && pending.end > begin; });
  protect(begin, begin + bytes);
}

void PinnedGuard::open(const void* memory, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = closable_pages(begin, begin + bytes);
  if (first >= last) return;
  mprotect(reinterpret_cast<void*>(first), last - first, PROT_READ | PROT_WRITE);
  opened.emplace_back(first, last);
}

void PinnedGuard::close() {
  const std::lock_guard lock(mutex_);
  for (const auto& [first, last] : opened) protect(first, last);
  opened.clear();
}

bool PinnedGuard::on_fault(const void* address, bool device_side, std::string& sentence) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = closable_pages(at, at + 1);
  if (first >= last) return false;
  const auto hit = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) { return at >= pending.begin && at < pending.end; });
  if (!device_side && hit != pending_.end()) {
    sentence = fmt::format("host code {} pinned memory ({}) before it has waited for \"{}\" on stream {}, which {} it", hit->write ? "touches" : "writes",
                           describe_address(address), hit->name, hit->stream, hit->write ? "writes" : "reads");
    return false;
  }
  if (device_side) opened.emplace_back(first, last);
  return mprotect(reinterpret_cast<void*>(first), last - first, PROT_READ | PROT_WRITE) == 0;
}

}  // namespace cudasim
