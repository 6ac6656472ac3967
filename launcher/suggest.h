// "did you mean": the nearest of some known words. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace terrace {

/// "; did you mean 'layers'?" for the candidate nearest to `word` by edit distance, or "" where none is near enough to be a typing error.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace terrace
