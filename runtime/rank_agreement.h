// What ranks compare before the first step: they must be one program with the same pages, on the same kind of machine. Each call is of all ranks together.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/group.h"
#include "runtime/cache/page.h"
#include "runtime/cache/page_record.h"
#include "runtime/memory_planner.h"
#include "runtime/model/model_config.h"

namespace terrace {

using TierFrames = std::array<int64_t, kNumTiers>;

struct RankIntroduction {
  uint64_t build = 0;
  uint64_t layout = 0;  // of a page, and what is seen of pages
  TierFrames num_frames = {};
  int64_t weight_bytes = 0;
};

/// Throws Error(kInvalidValue) where some ranks run on devices and others do not. `backend`: as rank 0 describes its own.
void agree_on_device(const RankGroup& group, bool on_device, const std::string& backend);

/// By rank, on rank 0; elsewhere empty. Throws Error(kPlanMismatch) there where a rank is another build or has other pages.
std::vector<RankIntroduction> introduce_ranks(const RankGroup& group, const MemoryPlan& memory, const ModelConfig& model, int32_t num_disk_frames, size_t weight_bytes);

/// Frames that every rank has, in each tier: rank 0 books them once for all. `ranks`: from introduce_ranks().
TierFrames frames_of_all(const RankGroup& group, const std::vector<RankIntroduction>& ranks);

/// On rank 0: those of its pages whose frame holds the same key on all ranks; only pages that are whole everywhere live.
std::vector<DiskRecord> records_of_all(const RankGroup& group, std::vector<DiskRecord> found, int32_t num_disk_frames);

}  // namespace terrace
