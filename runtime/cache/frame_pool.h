// The free frames of one tier: rank 0's books, ids only. Lowest number first, so that a run is easy to read and to repeat.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace terrace {

class FramePool {
 public:
  explicit FramePool(int32_t num_frames) : num_frames_(num_frames) {}

  int32_t num_frames() const { return num_frames_; }
  int32_t num_free() const { return num_frames_ - next_unused_ + static_cast<int32_t>(freed_.size()); }
  int32_t num_used() const { return num_frames_ - num_free() - num_retired_; }
  /// nullopt when none is free: shortage is not an error (LAW 5).
  std::optional<uint32_t> allocate() {
    if (!freed_.empty()) {
      const uint32_t frame = freed_.top();
      freed_.pop();
      return frame;
    }
    if (next_unused_ == num_frames_) return std::nullopt;
    return static_cast<uint32_t>(next_unused_++);
  }
  void release(uint32_t frame) { freed_.push(frame); }
  /// Instead of release(): it is not handed out again.
  void retire(uint32_t) { ++num_retired_; }
  /// Takes these very frames, which hold something already: before any other call, in ascending order.
  void claim(uint32_t frame) {
    while (next_unused_ < static_cast<int32_t>(frame)) freed_.push(static_cast<uint32_t>(next_unused_++));
    ++next_unused_;
  }

 private:
  int32_t num_frames_;
  int32_t num_retired_ = 0;
  int32_t next_unused_ = 0;  // frames from here on were never handed out
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> freed_;
};

}  // namespace terrace
