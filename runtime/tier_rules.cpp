#include "runtime/tier_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {
namespace {

void check_in_place(const CacheSection& cache, const ModelConfig& model, const MemoryPlan& memory, const Backend& backend) {
  if (*std::ranges::min_element(model.windows) > 0) {
    throw Error(ErrorCode::kInvalidValue, "cache.in_place is of no use where all layers have a window (attention.window): such sequences need few pages, whatever their length");
  }
  if (memory.num_host_frames == 0 || !cache.prefixes || !cache.enabled) {
    throw Error(ErrorCode::kInvalidValue, "cache.in_place needs a host tier (cache.host) and cache.prefixes: rows read the pages that these keep");
  }
  if (!backend.reads_host_pages()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("cache.in_place: {} does not have registered host memory at the host's addresses, so its rows cannot read pages there: leave cache.in_place out, or "
                                                      "say backend: cpu", backend.describe()));
  }
}

}  // namespace

void check_tiers(const CacheSection& cache, const ModelConfig& model, const MemoryPlan& memory, const Backend& backend) {
  if (cache.in_place) check_in_place(cache, model, memory, backend);
  if (!memory.stores_another_format()) return;
  if (cache.in_place) {
    throw Error(ErrorCode::kInvalidValue, "cache.host_format Q8 and cache.in_place exclude one another: rows read only pages of cache.format; set cache.format to Q8 too, or leave one of the two out");
  }
  if (model.reads_sparsely()) {
    throw Error(ErrorCode::kInvalidValue, "cache.host_format Q8 and attention.sparse exclude one another: a page comes back rounded, and its summary would bound it no more; set cache.format to Q8 too, or leave one of the two out");
  }
}

int64_t num_disk_frames(const CacheSection& cache, const MemoryPlan& memory) {
  const bool wanted = cache.disk.path != "none";
  if (wanted != (cache.disk.size.bytes > 0)) {
    throw Error(ErrorCode::kInvalidValue, "a disk tier needs both cache.disk.path and cache.disk.size (in bytes, like 20GiB)");
  }
  if (!wanted) return 0;
  if (memory.num_host_frames == 0) throw Error(ErrorCode::kInvalidValue, "cache.disk needs a host tier, through which pages go to the disk and back: set cache.host");
  return static_cast<int64_t>(static_cast<size_t>(cache.disk.size.bytes) / memory.stored_layout.page_stride);
}

}  // namespace terrace
