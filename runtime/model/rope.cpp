#include "runtime/model/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace terrace {
namespace {

/// The pair, as a real number, that turns `turns` times within `context` positions.
double pair_of_turns(double turns, int32_t rotary_dim, double base, double context) {
  return rotary_dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
}

/// yarn: 1 for the pairs that keep their frequency, 0 for those that are interpolated, a ramp between.
std::vector<double> keep_shares(int32_t rotary_dim, double base, const RopeScaling& scaling) {
  const auto context = static_cast<double>(scaling.original_context);
  const double low = std::max(0.0, std::floor(pair_of_turns(scaling.beta_fast, rotary_dim, base, context)));
  const double high = std::min(rotary_dim - 1.0, std::ceil(pair_of_turns(scaling.beta_slow, rotary_dim, base, context)));
  std::vector<double> shares(static_cast<size_t>(rotary_dim / 2));
  for (size_t pair = 0; pair < shares.size(); ++pair) {
    const double ramp = (static_cast<double>(pair) - low) / std::max(0.001, high - low);
    shares[pair] = (1 - std::clamp(ramp, 0.0, 1.0)) * scaling.extrapolation;
  }
  return shares;
}

double yarn_magnitude(double factor, double multiplier) {
  return factor <= 1 ? 1 : 0.1 * multiplier * std::log(factor) + 1;
}

std::string describe(double base, const RopeScaling& scaling) {
  std::string text = fmt::format("base {:g}", base);
  if (scaling.kind == RopeScaling::Kind::kLinear) text += fmt::format(", linear x{:g}", scaling.factor);
  if (scaling.kind == RopeScaling::Kind::kYarn) text += fmt::format(", yarn x{:g} of {}", scaling.factor, scaling.original_context);
  if (!scaling.pair_factors.empty()) {
    const float largest = *std::max_element(scaling.pair_factors.begin(), scaling.pair_factors.end());
    text += fmt::format(", factors per pair up to {:g}", largest);
  }
  return text;
}

}  // namespace

RopeConfig make_rope_config(RopeStyle style, int32_t rotary_dim, double base, const RopeScaling& scaling) {
  RopeConfig rope;
  rope.style = style;
  rope.rotary_dim = rotary_dim;
  rope.description = describe(base, scaling);
  const bool yarn = scaling.kind == RopeScaling::Kind::kYarn;
  const double stretch = scaling.kind == RopeScaling::Kind::kNone ? 1 : scaling.factor;
  const std::vector<double> keep = yarn ? keep_shares(rotary_dim, base, scaling) : std::vector<double>(static_cast<size_t>(rotary_dim / 2), 0.0);
  for (int32_t pair = 0; pair < rotary_dim / 2; ++pair) {
    const auto i = static_cast<size_t>(pair);
    // Rounded to float where the reference implementation (transformers) rounds, so that plain rope has its very frequencies.
    const auto power = static_cast<float>(std::pow(base, 2.0 * pair / rotary_dim));
    double frequency = 1.0f / power;
    if (!scaling.pair_factors.empty()) frequency /= scaling.pair_factors[i];
    rope.inverse_frequency.push_back(static_cast<float>(frequency / stretch * (1 - keep[i]) + frequency * keep[i]));
  }
  rope.attention_factor = static_cast<float>(scaling.attention_factor);
  if (yarn) {
    double magnitude = yarn_magnitude(scaling.factor, 1);
    if (scaling.log_multiplier != 0) magnitude /= yarn_magnitude(scaling.factor, scaling.log_multiplier);
    rope.attention_factor = static_cast<float>(magnitude * scaling.attention_factor);
  }
  return rope;
}

}  // namespace terrace
