#include "runtime/sampling/token_constraint.h"

#include <algorithm>
#include <cmath>

namespace terrace {

bool TokenMask::allows(int32_t token) const {
  const auto word = static_cast<size_t>(token) / 32;
  return token >= 0 && word < words.size() && (words[word] >> (token % 32) & 1) != 0;
}

bool TokenMask::empty() const {
  return std::ranges::all_of(words, [](uint32_t word) { return word == 0; });
}

void TokenMask::apply(std::span<float> logits, std::span<const int32_t> end_tokens) const {
  std::vector<std::pair<int32_t, float>> ends;
  for (const int32_t token : end_tokens) {
    if (may_end && token >= 0 && static_cast<size_t>(token) < logits.size()) ends.emplace_back(token, logits[static_cast<size_t>(token)]);
  }
  for (size_t begin = 0; begin < logits.size(); begin += 32) {
    const uint32_t word = begin / 32 < words.size() ? words[begin / 32] : 0;
    if (word == ~uint32_t{0}) continue;
    const size_t end = std::min(begin + 32, logits.size());
    for (size_t i = begin; i < end; ++i) {
      if ((word >> (i - begin) & 1) == 0) logits[i] = -INFINITY;
    }
  }
  for (const auto& [token, logit] : ends) logits[static_cast<size_t>(token)] = logit;
}

}  // namespace terrace
