#include "kernels/cuda/step_arrays.h"

#include <fmt/format.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr size_t kAlignment = 16;
constexpr size_t kFirstBytes = 1 << 18;

}  // namespace

StepArrays::StepArrays(CudaDevice& device) : device_(device), block_(device.allocate(kFirstBytes)) { begin(); }

void StepArrays::begin() {
  offsets_.clear();
  host_.assign(kMaxArrays * sizeof(void*), std::byte{0});
}

int StepArrays::add_bytes(std::span<const std::byte> bytes) {
  if (offsets_.size() == kMaxArrays) throw Error(ErrorCode::kInternal, fmt::format("more than {} arrays in a step", kMaxArrays));
  const size_t begin = (host_.size() + kAlignment - 1) / kAlignment * kAlignment;
  host_.resize(begin + bytes.size());
  if (!bytes.empty()) std::memcpy(host_.data() + begin, bytes.data(), bytes.size());
  offsets_.push_back(begin);
  return static_cast<int>(offsets_.size()) - 1;
}

void StepArrays::upload() {
  if (host_.size() > block_.bytes()) {
    device_.synchronize();  // kernels that read the old block
    block_ = Buffer();
    block_ = device_.allocate(2 * host_.size());
    ++generation_;
  }
  for (size_t i = 0; i < offsets_.size(); ++i) {
    const std::byte* address = block_.data() + offsets_[i];
    std::memcpy(host_.data() + i * sizeof address, &address, sizeof address);
  }
  device_.write(block_.data(), host_);
}

}  // namespace terrace
