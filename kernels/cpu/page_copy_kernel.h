// The body of copy_page, compiled once an ISA: xxHash is inlined and takes the widest vectors that the file may use.
#pragma once

#define XXH_INLINE_ALL
#include <emmintrin.h>
#include <xxhash.h>

#include <algorithm>

#include "kernels/cpu/page_copy.h"

namespace terrace {
namespace {

/// Non-temporal stores: the target is not read before it is written, and what the caches hold for the ops stays there.
void stream_lines(std::byte* to, const std::byte* from, size_t bytes) {
  constexpr size_t kAhead = 1024;  // bytes; what is prefetched past the end is never used
  const auto* source = reinterpret_cast<const __m128i*>(from);
  auto* target = reinterpret_cast<__m128i*>(to);
  for (size_t i = 0; i < bytes / sizeof(__m128i); i += 4) {
    _mm_prefetch(reinterpret_cast<const char*>(source + i) + kAhead, _MM_HINT_T0);
    for (size_t j = i; j < i + 4; ++j) _mm_stream_si128(target + j, _mm_load_si128(source + j));
  }
}

uint64_t copy_page_in_pieces(std::byte* to, const std::byte* from, size_t bytes) {
  constexpr size_t kPiece = 4096;  // stays in the first cache between copy and checksum
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (size_t begin = 0; begin < bytes; begin += kPiece) {
    const size_t count = std::min(kPiece, bytes - begin);
    stream_lines(to + begin, from + begin, count);
    XXH3_64bits_update(&state, from + begin, count);
  }
  _mm_sfence();  // before another thread is told
  return XXH3_64bits_digest(&state);
}

}  // namespace
}  // namespace terrace
