// Small sums between the devices of one host by one kernel over memory that they share (kernels/base/peer_sum.h), larger ones by another Collective. Which of the two is a matter of size and
// number of ranks alone, so all ranks choose the same. The norm that follows a small sum is part of its kernel. Owns both, and a watch that ends the kernels' waiting when the job ends. Step thread, but for that watch.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "comm/device_collective.h"
#include "kernels/base/peer_sum.h"

namespace terrace {

/// The longest sum that goes this way between so many ranks; 0: none does. Predicted, not measured.
size_t one_shot_limit(int ranks);

/// `large`, with small sums made in one shot; `large` itself where not all ranks are on one host, or their devices do not reach each other's memory. Rank 0 says which in one line. Every
/// rank calls it, and all get the same. `group` outlives the result.
std::unique_ptr<Collective> with_one_shot_sums(std::unique_ptr<Collective> large, RankGroup& group, const DeviceLink& link);

class OneShotCollective final : public Collective {
 public:
  /// `small` has been opened on all ranks, for sums of up to `max_floats`.
  OneShotCollective(std::unique_ptr<Collective> large, std::unique_ptr<PeerSum> small, size_t max_floats, RankGroup& group);
  ~OneShotCollective() override;
  OneShotCollective(const OneShotCollective&) = delete;
  OneShotCollective& operator=(const OneShotCollective&) = delete;

  int rank() const override { return large_->rank(); }
  int size() const override { return large_->size(); }
  std::span<float> buffer(size_t count) override { return large_->buffer(count); }
  std::span<float> all_reduce(std::span<float> part) override;
  void all_reduce_then_norm(std::span<float> part, const ResidualNorm& then, FunctionRef<void(std::span<float> sum)> apply) override;
  void check() override;

 private:
  void watch();

  Control& control_;
  const bool processes_;
  const int exceptions_;  // on their way when this was made
  const size_t max_floats_;
  std::unique_ptr<Collective> large_;
  std::unique_ptr<PeerSum> small_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread watch_;
};

}  // namespace terrace
