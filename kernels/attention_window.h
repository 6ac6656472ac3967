// Which keys a query sees where attention is limited to a window: at position p, keys p - size + 1 .. p and the first `sinks` ones. What
// lies between is the gap. Plain values, for host code and kernels; always inlined, since files of several ISAs include this; constexpr makes them the device's too.
//
// Sinks are kept for endless streams (StreamingLLM, arXiv 2309.17453), where the distance to them would grow beyond all that a model has learnt.
// To them a query therefore stands as if the gap were not there: at sink_position(p).
#pragma once

#include <cstdint>

namespace terrace {

/// Keys [begin, end) that are not seen; end <= begin: none.
struct KeyGap {
  int32_t begin = 0;
  int32_t end = 0;

  /// `key`, a multiple of `granule`; or, where nothing of [key, key + granule) is seen, the multiple before or at the next key that is.
  [[gnu::always_inline]] constexpr int32_t skip(int32_t key, int32_t granule) const {
    return key >= begin && key + granule <= end ? end / granule * granule : key;
  }
};

struct AttentionWindow {
  int32_t size = 0;   // positions, the query's own included; 0: all
  int32_t sinks = 0;  // 0 without a window

  [[gnu::always_inline]] constexpr KeyGap gap(int32_t position) const { return {sinks, size > 0 ? position - size + 1 : 0}; }
  /// The query's position for its distance to the sinks: its own until there is a gap, then that of the last one before.
  [[gnu::always_inline]] constexpr int32_t sink_position(int32_t position) const {
    return position < sinks + size ? position : sinks + size - 1;
  }
  bool operator==(const AttentionWindow&) const = default;
};

}  // namespace terrace
