// The arrays that change from step to step (tokens, page tables, attention's plan) on the device: gathered on the host and sent in
// one copy. A kernel in a CUDA graph must bake neither where an array lies nor how long it is: it is given the array's slot, a
// device address that stays the same from step to step and holds the address of this step's array; lengths are arrays of one.
// Owned by the CUDA backend, used from its step thread. Does not know what the arrays mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cuda/cuda_device.h"

namespace terrace {

class StepArrays {
 public:
  /// The arrays that the backend adds first, in this order, in every step.
  enum Common : int {
    kTokens,        // int32_t [num_tokens]
    kPositions,     // int32_t [num_tokens]
    kNumCommon
  };
  /// And then two for each layer group: uint32_t [num_tokens], where K and V of a token go (kNoFrame: nowhere); uint32_t: StepBatch::frames_of().
  static constexpr int frame_of_token(int group) { return kNumCommon + 2 * group; }
  static constexpr int frames(int group) { return frame_of_token(group) + 1; }
  static constexpr uint32_t kNoFrame = 0xffffffffu;
  static constexpr int kMaxArrays = 128;

  explicit StepArrays(CudaDevice& device);

  /// A new step: forgets all arrays.
  void begin();
  /// Copies `values` aside; aligned to 16 bytes on the device. Arrays are numbered in the order of these calls: add the same ones
  /// in the same order in every step, so that an array keeps its slot.
  template <typename T>
  int add(std::span<const T> values) {
    return add_bytes(std::as_bytes(values));
  }
  int add(int32_t value) { return add_bytes(std::as_bytes(std::span(&value, 1))); }
  /// Sends all that was added since begin(); again after later calls of add(). Not while a graph is being captured.
  void upload();

  /// For kernels: `*slot` is the array. The same address in every step, until generation() changes.
  template <typename T>
  const T* const* slot(int array) const {
    return reinterpret_cast<const T* const*>(block_.data() + static_cast<size_t>(array) * sizeof(void*));
  }
  /// Changes when the slots have moved: a graph captured before is of no use any more.
  uint64_t generation() const { return generation_; }

 private:
  int add_bytes(std::span<const std::byte> bytes);

  CudaDevice& device_;
  Buffer block_;                 // [kMaxArrays] addresses, then the arrays
  std::vector<std::byte> host_;  // what the block is to hold
  std::vector<size_t> offsets_;  // of the arrays, in bytes
  uint64_t generation_ = 0;
};

}  // namespace terrace
