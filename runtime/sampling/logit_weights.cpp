#include "runtime/sampling/logit_weights.h"

#include <algorithm>
#include <bit>

namespace terrace {
namespace {

constexpr size_t kChunk = 1024;  // weights summed in float, in kLanes lanes; chunks are summed in double
constexpr size_t kLanes = 16;

// exp(x) = 2^n * exp(r) with |r| <= ln 2 / 2; the polynomial and the two-part ln 2 are those of Cephes' expf (Moshier).
inline float exp_of_negative(float x) {
  constexpr float kLowest = -87.0f;         // 2^n stays a normal number
  constexpr float kRounder = 12582912.0f;   // 1.5 * 2^23: added to a small number, its low bits are the nearest integer
  const int32_t keep = -static_cast<int32_t>(x >= kLowest);  // a mask: a branch would keep the loop from being vector code
  const float y = std::bit_cast<float>(std::bit_cast<int32_t>(x) & keep);
  const float rounded = y * 1.44269504f + kRounder;
  const float n = rounded - kRounder;
  const float r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(rounded) - std::bit_cast<int32_t>(kRounder);
  const float power = std::bit_cast<float>((exponent + 127) << 23);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p * power) & keep);
}

void weigh(const float* logits, size_t count, const WeightScale scale, float* weights) {
  for (size_t i = 0; i < count; ++i) weights[i] = exp_of_negative((logits[i] - scale.largest) * scale.inverse_temperature);
}

double sum_chunk(const float* weights, size_t count) {
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane];
  }
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; i < count; ++i) sum += weights[i];
  return sum;
}

}  // namespace

WeightScale::WeightScale(float largest_logit, float temperature) : largest(largest_logit), inverse_temperature(1.0f / std::max(temperature, 1e-6f)) {}

float WeightScale::weight(float logit) const { return exp_of_negative((logit - largest) * inverse_temperature); }

LogitWeights::LogitWeights(std::span<const float> logits, const WeightScale& scale)
    : values_(std::make_unique_for_overwrite<float[]>(logits.size())), count_(logits.size()) {
  float* const values = values_.get();
  weigh(logits.data(), logits.size(), scale, values);
  for (size_t begin = 0; begin < count_; begin += kChunk) {
    chunk_sums_.push_back(sum_chunk(values + begin, std::min(kChunk, count_ - begin)));
    total_ += chunk_sums_.back();
  }
}

int32_t LogitWeights::draw(double share) const {
  double left = share * total_;
  size_t chunk = 0;
  while (chunk + 1 < chunk_sums_.size() && left >= chunk_sums_[chunk]) left -= chunk_sums_[chunk++];
  size_t chosen = 0;
  const size_t begin = chunk * kChunk;
  for (size_t i = begin; i < std::min(begin + kChunk, count_); ++i) {
    if (values_[i] <= 0) continue;
    chosen = i;  // the last one with any weight takes what rounding left over
    left -= values_[i];
    if (left < 0) break;
  }
  return static_cast<int32_t>(chosen);
}

}  // namespace terrace
