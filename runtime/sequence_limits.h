// How long one sequence may be: what the model's context and the pool's frames allow a sequence that runs alone. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cache/pages_in_sight.h"
#include "runtime/request.h"

namespace terrace {

class SequenceLimits {
 public:
  struct Pool {
    int32_t context_length = 0;
    int32_t page_tokens = 16;
    int32_t num_frames = 0;       // of the device
    int32_t num_host_frames = 0;
    bool in_place = false;        // rows may read pages of the host tier where they lie
  };
  /// `in_sight`: by layer group.
  SequenceLimits(const Pool& pool, std::vector<PagesInSight> in_sight);

  /// The last token's K and V are never needed, so a sequence may be one longer than its pages.
  int32_t max_sequence_tokens() const;
  /// Why it can never run, in a sentence with the way out; nullopt where it can.
  std::optional<std::string> refusal(const Request& request) const;

 private:
  int64_t most_frames(int64_t positions) const;

  Pool pool_;
  std::vector<PagesInSight> in_sight_;
  int32_t max_positions_ = 0;  // that can have K and V
};

}  // namespace terrace
