#include "tests/cudasim/peer_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace cudasim {

/// Followed by the bytes, from the next page on.
struct PeerMemory::Home {
  std::atomic<uint64_t> number;   // of the handle: tells it from a later file with the same descriptor
  std::atomic<uint64_t> version;  // how often something has come home
  std::atomic<int32_t> openers;   // other processes
  uint64_t bytes;

  unsigned char* begin() { return reinterpret_cast<unsigned char*>(this) + kHeader; }
  static constexpr size_t kHeader = 4096;
};

namespace {

struct Handle {  // what a cudaIpcMemHandle_t carries
  int32_t pid = 0, fd = -1;
  uint64_t number = 0, bytes = 0;
};
static_assert(sizeof(Handle) <= sizeof(cudaIpcMemHandle_t));

void* map_file(int fd, size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  return mapped == MAP_FAILED ? nullptr : mapped;
}

}  // namespace

PeerMemory& PeerMemory::get() {
  static auto& memory = *new PeerMemory;
  return memory;
}

std::vector<PeerMemory::Store>& PeerMemory::stores() {
  thread_local std::vector<Store> stores;
  return stores;
}

cudaError_t PeerMemory::share(const AllocationInfo& info, cudaIpcMemHandle_t& handle) {
  static std::atomic<uint64_t> last{0};
  const std::lock_guard lock(mutex_);
  const auto begin = reinterpret_cast<uintptr_t>(info.begin);
  if (views_.find(begin) == views_.end()) {
    const int fd = memfd_create("cudasim-peer", MFD_CLOEXEC);
    const size_t size = Home::kHeader + info.bytes;
    void* mapped = fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0 ? nullptr : map_file(fd, size);
    if (mapped == nullptr) unsupported("no memory to share between processes");
    auto* home = static_cast<Home*>(mapped);
    home->number = ++last;
    home->bytes = info.bytes;
    std::memcpy(home->begin(), info.begin, info.bytes);
    views_[begin] = {home, info.bytes, 0, false, fd};
    set_range();
  }
  const View& view = views_.at(begin);
  const Handle made = {::getpid(), view.fd, view.home->number, view.bytes};
  handle = {};
  std::memcpy(&handle, &made, sizeof made);
  return cudaSuccess;
}

PeerMemory::Import PeerMemory::map_home(const cudaIpcMemHandle_t& handle, bool& own) {
  Handle made;
  std::memcpy(static_cast<void*>(&made), &handle, sizeof made);
  own = made.pid == ::getpid();
  if (own) return {};
  const int fd = ::open(fmt::format("/proc/{}/fd/{}", made.pid, made.fd).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return {};
  void* mapped = map_file(fd, Home::kHeader + made.bytes);
  ::close(fd);
  if (mapped == nullptr) return {};
  if (static_cast<Home*>(mapped)->number != made.number) {
    munmap(mapped, Home::kHeader + made.bytes);
    return {};
  }
  return {mapped, made.bytes};
}

void PeerMemory::add_view(void* view, const Import& import) {
  const std::lock_guard lock(mutex_);
  auto* home = static_cast<Home*>(import.home);
  ++home->openers;
  views_[reinterpret_cast<uintptr_t>(view)] = {home, import.bytes, ~uint64_t{0}, true, -1};
  set_range();
}

void PeerMemory::remove(const void* address) {
  const std::lock_guard lock(mutex_);
  const auto found = views_.find(reinterpret_cast<uintptr_t>(address));
  if (found == views_.end()) return;
  const View view = found->second;
  views_.erase(found);
  set_range();
  if (view.imported) {
    --view.home->openers;
  } else {
    if (const int openers = view.home->openers; openers > 0) report(fmt::format("cudaFree of memory that {} other processes have open: cudaIpcCloseMemHandle comes first", openers));
    ::close(view.fd);
  }
  munmap(static_cast<void*>(view.home), Home::kHeader + view.bytes);
}

void PeerMemory::set_range() {
  lowest_ = views_.empty() ? 0 : views_.begin()->first;
  highest_ = views_.empty() ? 0 : views_.rbegin()->first + views_.rbegin()->second.bytes;
}

PeerMemory::Views::iterator PeerMemory::find(uintptr_t address) {
  auto after = views_.upper_bound(address);
  if (after == views_.begin()) return views_.end();
  --after;
  return address < after->first + after->second.bytes ? after : views_.end();
}

void PeerMemory::note_store(const void* address, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard lock(mutex_);
  if (find(begin) == views_.end()) return;
  stores().push_back({begin, bytes, current_block->block_id, current_lane->id, current_block->epoch});
}

void* PeerMemory::home_of(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (!covers(address)) return const_cast<void*>(address);
  const std::lock_guard lock(mutex_);
  const auto found = find(at);
  return found == views_.end() ? const_cast<void*>(address) : found->second.home->begin() + (at - found->first);
}

void PeerMemory::carry_home(uintptr_t begin, size_t bytes) {
  const auto found = find(begin);
  if (found == views_.end()) return;
  auto& [first, view] = *found;
  const size_t offset = begin - first;
  std::memcpy(view.home->begin() + offset, reinterpret_cast<const void*>(begin), std::min(bytes, view.bytes - offset));
  ++view.home->version;
}

void PeerMemory::release() {
  if (stores().empty()) return;
  const std::lock_guard lock(mutex_);
  // Of this block alone: others of the launch are not ordered with it. A barrier of some warps counts for nothing.
  std::erase_if(stores(), [&](const Store& store) {
    if (store.block != current_block->block_id || (store.lane != current_lane->id && store.epoch >= current_block->epoch)) return false;
    carry_home(store.begin, store.bytes);
    return true;
  });
}

void PeerMemory::refresh(uintptr_t begin, View& view) {
  const uint64_t version = view.home->version.load(std::memory_order_acquire);
  if (version == view.version) return;
  view.version = version;
  std::vector<std::pair<const Store*, std::vector<unsigned char>>> kept;  // this operation's own stores are newer
  for (const Store& store : stores()) {
    if (store.begin < begin || store.begin >= begin + view.bytes) continue;
    const auto* bytes = reinterpret_cast<const unsigned char*>(store.begin);
    kept.emplace_back(&store, std::vector<unsigned char>(bytes, bytes + store.bytes));
  }
  std::memcpy(reinterpret_cast<void*>(begin), view.home->begin(), view.bytes);
  for (const auto& [store, bytes] : kept) std::memcpy(reinterpret_cast<void*>(store->begin), bytes.data(), bytes.size());
}

void PeerMemory::acquire() {
  if (highest_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  for (auto& [begin, view] : views_) refresh(begin, view);
}

void PeerMemory::begin_operation() { acquire(); }

void PeerMemory::end_operation(const std::vector<MemoryRange>& written) {
  if (highest_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  for (const Store& store : stores()) carry_home(store.begin, store.bytes);
  stores().clear();
  for (const MemoryRange& range : written) carry_home(reinterpret_cast<uintptr_t>(range.begin), range.bytes);
}

}  // namespace cudasim
