#include "runtime/cache/return_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace terrace {
namespace {

// What is taken for granted before anything is known: in each span one page of ten is used, so the longer a page was not used, the rarer, as LRU has it.
constexpr double kPrior = 8;
constexpr double kPriorChance = 0.1;
constexpr double kFirstSteps = 5;  // uses' worth of caution in a factor
constexpr double kMostLog = 3;     // factors stay between e^-4 and e^3
constexpr double kLeastLog = -4;
constexpr int32_t kOften = 20;

}  // namespace

PageKind PageKind::of(int32_t num_uses, int32_t depth, const EndedRequest& request) {
  PageKind kind;
  kind.num_uses = static_cast<uint8_t>(std::min<int32_t>(num_uses, kMostUses));
  kind.often = num_uses > kOften;
  if (request.answer_tokens < 0) return kind;
  kind.place = depth + 1 < request.prompt_pages ? 1 : depth + 1 == request.prompt_pages ? 2 : 3;
  const int length = std::bit_width(static_cast<uint32_t>(request.answer_tokens));
  kind.answer = static_cast<uint8_t>(std::min<int>(1 + length, kMostAnswer));
  return kind;
}

ReturnModel::ReturnModel() {
  for (auto& rate : rates_) rate.fill({kPriorChance * kPrior, kPrior, 0});
  update_densities();
}

size_t ReturnModel::span_of(int64_t age) {
  const int width = std::bit_width(static_cast<uint64_t>(age));
  return width <= 4 ? 0 : std::min(static_cast<size_t>(width) - 4, kNumSpans - 1);
}

/// An answer's length says one thing of new prompts and another of those that were asked before, so it counts alone and together with that.
ReturnModel::Levels ReturnModel::levels_of(const PageKind& kind) {
  const size_t again = kind.num_uses > 1 ? kNumLevels / 2 : 0;
  return {kind.num_uses, kind.place, kind.answer, again + kind.answer};
}

double ReturnModel::factors_of(const Levels& levels) const {
  double product = 1;
  for (size_t i = 0; i < kNumFactors; ++i) product *= factors_[i][levels[i]].value;
  return product;
}

double ReturnModel::value(const PageKind& kind, int64_t age) const {
  const double density = rates_[rate_of(kind)][span_of(age)].density;
  return density * factors_of(levels_of(kind)) / (1 + 1e-7 * static_cast<double>(age));  // of equal ones the older goes first
}

void ReturnModel::learn(const PageKind& kind, size_t span, double used, double share) {
  Span& rate = rates_[rate_of(kind)][span];
  const Levels levels = levels_of(kind);
  const double product = factors_of(levels);
  const double expected = share * std::min(0.95, product * rate.used / rate.reached);
  for (size_t i = 0; i < kNumFactors; ++i) {
    Factor& factor = factors_[i][levels[i]];
    factor.expected += expected;
    factor.log = std::clamp(factor.log + (used - expected) / (kFirstSteps + factor.expected), kLeastLog, kMostLog);
    factor.value = std::exp(factor.log);
  }
  rate.used += used;
  rate.reached += share * product;
}

void ReturnModel::forget_half() {
  for (auto& rate : rates_) {
    for (Span& span : rate) span = {span.used / 2, span.reached / 2, span.density};
  }
  for (auto& levels : factors_) {
    for (Factor& factor : levels) factor.expected /= 2;
  }
}

/// For each span, the best over all ages at which a page may be given up at last.
void ReturnModel::update_densities() {
  for (auto& rate : rates_) {
    for (size_t from = 0; from < kNumSpans; ++from) {
      double alive = 1, hits = 0, time = 0, best = 0;
      for (size_t span = from; span + 1 < kNumSpans; ++span) {
        const auto width = static_cast<double>(span_start(span + 1) - span_start(span));
        const double chance = std::min(0.95, rate[span].used / rate[span].reached);
        hits += alive * chance;
        time += alive * width * (1 - chance / 2);
        alive *= 1 - chance;
        best = std::max(best, hits / time);
      }
      rate[from].density = best;
    }
    rate.back().density = rate[kNumSpans - 2].density / 2;
  }
}

}  // namespace terrace
