#include "kernels/cuda/pinned_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/check.h"

namespace terrace {
namespace {

constexpr size_t kAlignment = 64;  // of what a slot holds

void check_copy(cudaError_t status, const char* direction, size_t bytes) {
  if (status != cudaSuccess) check_cuda(status, fmt::format("the copy of {} bytes {}", bytes, direction).c_str());
}

}  // namespace

PinnedRing::~PinnedRing() {
  cudaStreamSynchronize(stream_);  // a failure was reported where it happened, and must not keep the memory
  for (const Slot& slot : slots_) {
    if (slot.sent != nullptr) cudaEventDestroy(slot.sent);
    if (slot.data != nullptr) cudaFreeHost(slot.data);
  }
}

void PinnedRing::make(Slot& slot) {
  if (slot.sent == nullptr) check_cuda(cudaEventCreateWithFlags(&slot.sent, cudaEventDisableTiming), "making an event");
  if (slot.data == nullptr) {
    void* data = nullptr;
    check_cuda(cudaMallocHost(&data, kSlotBytes), "allocating 1 MiB of pinned host memory");
    slot.data = static_cast<std::byte*>(data);
  }
}

void PinnedRing::advance() {
  Slot& full = slots_[current_];
  if (used_ > 0) {
    check_cuda(cudaEventRecord(full.sent, stream_), "recording an event");
    full.waited = false;
  }
  current_ = (current_ + 1) % kNumSlots;
  used_ = 0;
  Slot& next = slots_[current_];
  if (!next.waited) check_cuda(cudaEventSynchronize(next.sent), "waiting for copies to the device");
  next.waited = true;
}

void PinnedRing::write(void* dst, std::span<const std::byte> src) {
  auto* to = static_cast<std::byte*>(dst);
  while (!src.empty()) {
    if (used_ == kSlotBytes) advance();
    Slot& slot = slots_[current_];
    make(slot);
    const size_t count = std::min(src.size(), kSlotBytes - used_);
    std::memcpy(slot.data + used_, src.data(), count);
    const size_t begin = used_;
    used_ = std::min(kSlotBytes, (used_ + count + kAlignment - 1) / kAlignment * kAlignment);
    check_copy(cudaMemcpyAsync(to, slot.data + begin, count, cudaMemcpyHostToDevice, stream_), "to the device", count);
    to += count;
    src = src.subspan(count);
  }
}

void PinnedRing::read(const void* src, size_t src_pitch, size_t row_bytes, size_t rows, std::byte* dst) {
  if (rows == 0 || row_bytes == 0) return;
  if (row_bytes > kSlotBytes) {  // in pieces of a row
    for (size_t row = 0; row < rows; ++row) {
      for (size_t begin = 0; begin < row_bytes; begin += kSlotBytes) {
        const size_t count = std::min(kSlotBytes, row_bytes - begin);
        read(static_cast<const std::byte*>(src) + row * src_pitch + begin, count, count, 1, dst + row * row_bytes + begin);
      }
    }
    return;
  }
  const size_t most = kSlotBytes / row_bytes;
  for (size_t first = 0; first < rows; first += most) {
    const size_t count = std::min(most, rows - first);
    advance();
    Slot& slot = slots_[current_];
    make(slot);
    const auto* from = static_cast<const std::byte*>(src) + first * src_pitch;
    check_copy(cudaMemcpy2DAsync(slot.data, row_bytes, from, src_pitch, row_bytes, count, cudaMemcpyDeviceToHost, stream_), "from the device", count * row_bytes);
    check_cuda(cudaStreamSynchronize(stream_), "waiting for the device");
    std::memcpy(dst + first * row_bytes, slot.data, count * row_bytes);
  }
}

}  // namespace terrace
