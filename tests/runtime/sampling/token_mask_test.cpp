#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "runtime/sampling/sampler.h"
#include "runtime/sampling/token_constraint.h"

namespace terrace {
namespace {

TokenMask mask_of(std::initializer_list<int32_t> tokens, bool may_end = false, size_t num_words = 3) {
  TokenMask mask;
  mask.words.resize(num_words);
  for (const int32_t token : tokens) mask.words[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
  mask.may_end = may_end;
  return mask;
}

std::vector<int32_t> allowed(const TokenMask& mask, size_t vocab, std::vector<int32_t> ends = {}) {
  std::vector<float> logits(vocab);
  std::iota(logits.begin(), logits.end(), 0.0f);
  mask.apply(logits, ends);
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < vocab; ++i) {
    if (!std::isinf(logits[i])) tokens.push_back(static_cast<int32_t>(logits[i]));
  }
  return tokens;
}

TEST(TokenMaskTest, LeavesWhatItAllowsAsItIs) {
  const std::vector<int32_t> tokens = {0, 31, 32, 63, 95};
  EXPECT_EQ(allowed(mask_of({0, 31, 32, 63, 95}), 96), tokens);
  TokenMask all = mask_of({});
  all.words.assign(3, ~uint32_t{0});
  EXPECT_EQ(allowed(all, 96).size(), 96u);
}

TEST(TokenMaskTest, TokensBeyondItMayNotCome) {
  EXPECT_EQ(allowed(mask_of({5}, false, 1), 96), std::vector<int32_t>{5});
  EXPECT_FALSE(mask_of({5}, false, 1).allows(64));
  EXPECT_FALSE(mask_of({5}).allows(-1));
  EXPECT_TRUE(mask_of({5}).allows(5));
}

TEST(TokenMaskTest, EndTokensComeOnlyWhereTheTextMayEnd) {
  EXPECT_EQ(allowed(mask_of({5}, false), 96, {7, 95}), std::vector<int32_t>{5});
  EXPECT_EQ(allowed(mask_of({5}, true), 96, {7, 95, 200}), (std::vector<int32_t>{5, 7, 95}));
}

TEST(TokenMaskTest, SaysWhetherAnyTokenCanCome) {
  Request request;
  request.prompt = {1};
  const std::vector<int32_t> tokens = {1};
  EXPECT_TRUE(can_go_on(mask_of({5}), request, tokens));
  EXPECT_FALSE(can_go_on(mask_of({}), request, tokens));
  EXPECT_FALSE(can_go_on(mask_of({}, true), request, tokens));  // no end tokens: the sequence ends by itself
  request.stop_tokens = {2};
  EXPECT_FALSE(can_go_on(mask_of({}), request, tokens));
  EXPECT_TRUE(can_go_on(mask_of({}, true), request, tokens));
  request.min_tokens = 1;
  EXPECT_FALSE(can_go_on(mask_of({}, true), request, tokens));
}

}  // namespace
}  // namespace terrace
