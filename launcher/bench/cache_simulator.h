// One tier played over a trace: how many of the prompts' pages a retention policy would have found, and how many any
// policy can find at most. Ids only; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "launcher/bench/cache_trace.h"
#include "runtime/cache/retention.h"

namespace terrace {

/// Called after each row with how many there were; false: stop.
using RowCallback = std::function<bool(size_t)>;

/// Row after row: the leading run of its pages that are there is found; then the rest is put in, while none of the
/// row's own may go; a row longer than the tier is put in as far as it goes. Then the policy
/// is told that the row's request has ended. `policy` is new. The pages found, over all
/// rows; nullopt: `after_row` has stopped it.
std::optional<int64_t> count_hits(const CacheTrace& trace, int32_t num_frames, RetentionPolicy& policy,
                                  const RowCallback& after_row);

/// Belady's MIN over the pages' uses, with pages passed by: no policy finds more, whether it knows the future or not. A page's next use is never
/// before its parent's, so MIN gives chains up from their ends and is itself leaf-first: the value of a clairvoyant policy that need not keep
/// the row it has just read.
std::optional<int64_t> bound_hits(const CacheTrace& trace, int32_t num_frames, const RowCallback& after_row);

}  // namespace terrace
