#include "comm/device_collective.h"

#include <fmt/format.h>

#include "comm/one_shot_collective.h"
#include "kernels/base/cuda_module.h"
#include "kernels/base/error.h"

namespace terrace {
namespace {

class LoneCollective final : public Collective {
 public:
  explicit LoneCollective(const DeviceLink& link) : memory_(link.allocate(link.buffer_floats * sizeof(float))) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::span<float> buffer(size_t count) override {
    if (count * sizeof(float) > memory_.bytes()) throw Error(ErrorCode::kInternal, fmt::format("a sum of {} floats is longer than announced", count));
    return {reinterpret_cast<float*>(memory_.data()), count};
  }
  std::span<float> all_reduce(std::span<float> part) override { return part; }

 private:
  Buffer memory_;
};

}  // namespace

std::unique_ptr<Collective> make_device_collective(RankGroup& group, const DeviceLink& link) {
  if (group.size == 1) return std::make_unique<LoneCollective>(link);
  using Make = Collective* (*)(RankGroup*, const DeviceLink*);
  std::unique_ptr<Collective> nccl(reinterpret_cast<Make>(cuda_module_entry("terrace_make_nccl_collective"))(&group, &link));
  return with_one_shot_sums(std::move(nccl), group, link);
}

}  // namespace terrace
