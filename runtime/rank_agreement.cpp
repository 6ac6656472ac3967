#include "runtime/rank_agreement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>

#include "kernels/base/error.h"
#include "runtime/step_plan.h"

namespace terrace {
namespace {

uint64_t hash_of(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

template <typename T>
Bytes to_bytes(const T& value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  return {begin, begin + sizeof value};
}

RankIntroduction introduce(const MemoryPlan& memory, const ModelConfig& model, int32_t num_disk_frames, size_t weight_bytes) {
  const PageLayout& layout = memory.layout;
  RankIntroduction self;
  self.build = hash_of(fmt::format("terrace {} plan {}", TERRACE_VERSION, kPlanVersion));
  // KV heads may be dealt unevenly; all else of a page is the same everywhere.
  self.layout = hash_of(fmt::format("{} {} {} {} {} {} {} {} {} {}", model.architecture, kv_format_name(layout.format()), kv_format_name(memory.stored_layout.format()),
                                    layout.page_tokens, layout.num_layers, memory.num_groups, layout.head_dim, layout.summary_bytes, fmt::join(model.windows, ","), model.sinks));
  self.num_frames = {memory.num_frames, memory.num_host_frames, num_disk_frames};
  self.weight_bytes = static_cast<int64_t>(weight_bytes);
  return self;
}

}  // namespace

void agree_on_device(const RankGroup& group, bool on_device, const std::string& backend) {
  for (const Bytes& bytes : group.control->gather(to_bytes(on_device))) {
    if ((bytes.at(0) != std::byte{0}) == on_device) continue;
    throw Error(ErrorCode::kInvalidValue, fmt::format("rank 0 runs on {} and another rank does not: say backend: cpu, or mend the driver or the CUDA module of "
                                                      "the host that lacks it", backend));
  }
}

std::vector<RankIntroduction> introduce_ranks(const RankGroup& group, const MemoryPlan& memory, const ModelConfig& model, int32_t num_disk_frames, size_t weight_bytes) {
  const RankIntroduction self = introduce(memory, model, num_disk_frames, weight_bytes);
  std::vector<RankIntroduction> ranks;
  for (const Bytes& bytes : group.control->gather(to_bytes(self))) {
    RankIntroduction other;
    if (bytes.size() == sizeof other) std::memcpy(&other, bytes.data(), sizeof other);
    if (other.build != self.build || other.layout != self.layout) {
      throw Error(ErrorCode::kPlanMismatch, fmt::format("rank {} runs another build or another model than rank 0: start all ranks from one installation", ranks.size()));
    }
    ranks.push_back(other);
  }
  return ranks;
}

TierFrames frames_of_all(const RankGroup& group, const std::vector<RankIntroduction>& ranks) {
  TierFrames frames;
  frames.fill(std::numeric_limits<int64_t>::max());
  for (const RankIntroduction& rank : ranks) {
    for (size_t tier = 0; tier < frames.size(); ++tier) frames[tier] = std::min(frames[tier], rank.num_frames[tier]);
  }
  Bytes agreed = to_bytes(frames);
  group.control->broadcast(agreed);
  std::memcpy(&frames, agreed.data(), sizeof frames);
  return frames;
}

std::vector<DiskRecord> records_of_all(const RankGroup& group, std::vector<DiskRecord> found, int32_t num_disk_frames) {
  std::vector<PageKey> keys(static_cast<size_t>(num_disk_frames));  // by frame; zero: none
  for (const DiskRecord& record : found) keys[record.frame] = record.page.key;
  const auto bytes = std::as_bytes(std::span(keys));
  for (const Bytes& other : group.control->gather(Bytes(bytes.begin(), bytes.end()))) {
    std::erase_if(found, [&](const DiskRecord& record) {
      PageKey key;
      std::memcpy(&key, other.data() + record.frame * sizeof key, sizeof key);
      return key != record.page.key;
    });
  }
  return found;
}

}  // namespace terrace
