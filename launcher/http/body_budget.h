// The bytes that all requests' bodies may take together, so that many large ones at once cannot use up the memory. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace terrace {

class BodyBudget {
 public:
  explicit BodyBudget(uint64_t bytes) : bytes_(bytes) {}

  /// One body's part of the budget, given back with the object.
  class Share {
   public:
    explicit Share(BodyBudget& budget) : budget_(budget) {}
    ~Share() { budget_.used_ -= held_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    /// The body has grown to so many bytes. False: the others leave no room, and this share stays as it was.
    bool grow_to(uint64_t bytes) {
      const uint64_t more = bytes - held_;
      if (budget_.used_.fetch_add(more) + more > budget_.bytes_) {
        budget_.used_ -= more;
        return false;
      }
      held_ = bytes;
      return true;
    }

   private:
    BodyBudget& budget_;
    uint64_t held_ = 0;
  };

 private:
  const uint64_t bytes_;
  std::atomic<uint64_t> used_ = 0;
};

}  // namespace terrace
