#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "kernels/base/error.h"
#include "runtime/sampling/logit_weights.h"
#include "runtime/sampling/philox.h"

namespace terrace {
namespace {

bool larger(const TokenLogit& a, const TokenLogit& b) { return a.logit > b.logit || (a.logit == b.logit && a.token < b.token); }

bool has_penalties(const SamplingParams& params) {
  return params.presence_penalty != 0 || params.frequency_penalty != 0 || params.repetition_penalty != 1;
}

bool masks_stops(const Request& request, std::span<const int32_t> tokens) {
  return !request.stop_tokens.empty() && tokens.size() < request.prompt.size() + static_cast<size_t>(request.min_tokens);
}

// Bias, then the masks, then penalties, in place on the whole vocabulary.
void adjust(std::vector<float>& logits, const Request& request, std::span<const int32_t> tokens, const TokenMask* mask) {
  const SamplingParams& params = request.sampling;
  const auto vocab = static_cast<int32_t>(logits.size());
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && token < vocab) logits[static_cast<size_t>(token)] += bias;
  }
  const size_t num_prompt = request.prompt.size();
  if (mask != nullptr) mask->apply(logits, request.stop_tokens);
  if (masks_stops(request, tokens)) {
    for (const int32_t token : request.stop_tokens) {
      if (token >= 0 && token < vocab) logits[static_cast<size_t>(token)] = -INFINITY;
    }
  }
  if (!has_penalties(params)) return;
  std::unordered_map<int32_t, int32_t> output_count;  // 0: prompt only
  for (size_t i = 0; i < tokens.size(); ++i) output_count[tokens[i]] += i >= num_prompt ? 1 : 0;
  for (const auto& [token, count] : output_count) {
    if (token < 0 || token >= vocab) continue;
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (count > 0) logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
  }
}

float largest_of(std::span<const float> row) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::ranges::fill(lanes, -INFINITY);
  for (size_t i = 0; i < row.size(); ++i) lanes[i % kLanes] = std::max(lanes[i % kLanes], row[i]);
  return *std::ranges::max_element(lanes);
}

// Draws from `list`, sorted, largest first. `all` is the weight of all tokens that are in play, of which the list holds the largest; 0: just
// those of the list, once top_k has cut it.
int32_t draw_from(std::span<TokenLogit> list, const WeightScale& scale, const SamplingParams& params, uint32_t position, double all) {
  const auto weight = [&](const TokenLogit& t) { return static_cast<double>(scale.weight(t.logit)); };
  if (params.top_k > 0) list = list.first(std::min(list.size(), static_cast<size_t>(params.top_k)));
  const auto sum = [&] { return std::accumulate(list.begin(), list.end(), 0.0, [&](double s, const TokenLogit& t) { return s + weight(t); }); };
  if (params.min_p > 0) {
    const auto first_below = std::ranges::find_if(list, [&](const TokenLogit& t) { return weight(t) < params.min_p; });
    list = list.first(static_cast<size_t>(first_below - list.begin()));
  }
  if (params.top_p < 1.0f) {
    const double wanted = params.top_p * (all > 0 ? all : sum());
    double mass = 0;
    size_t kept = 0;
    while (kept < list.size() && (kept == 0 || mass < wanted)) mass += weight(list[kept++]);
    list = list.first(kept);
  }
  double left = sampling_uniform(params.seed, params.choice, position) * sum();
  for (const TokenLogit& t : list) {
    left -= weight(t);
    if (left < 0) return t.token;
  }
  return list.front().token;  // rounding left a sliver of the mass
}

// As many of the largest logits as top_k and top_p can keep, sorted. They are few but for very flat rows.
std::vector<TokenLogit> likely_tokens(std::span<const float> row, const LogitWeights& weights, const SamplingParams& params) {
  std::vector<TokenLogit> list;
  for (const float floor : {1e-2f, 1e-5f, 0.0f}) {
    const float lowest = params.min_p > 0 ? params.min_p : floor;
    double mass = 0;
    list.clear();
    for (size_t i = 0; i < row.size(); ++i) {
      if (weights.values()[i] < lowest) continue;
      list.push_back({static_cast<int32_t>(i), row[i]});
      mass += weights.values()[i];
    }
    const bool enough = params.top_k > 0 ? list.size() >= static_cast<size_t>(params.top_k) : mass >= params.top_p * weights.total();
    if (params.min_p > 0 || enough) break;
  }
  std::ranges::sort(list, larger);
  return list;
}

int32_t choose_from_row(std::span<const float> row, float best, const SamplingParams& params, uint32_t position) {
  if (params.greedy()) return static_cast<int32_t>(std::ranges::find(row, best) - row.begin());
  const WeightScale scale(best, params.temperature);
  const LogitWeights weights(row, scale);
  const bool all_in_play = params.min_p <= 0 && params.top_k <= 0;
  if (all_in_play && params.top_p >= 1.0f) return weights.draw(sampling_uniform(params.seed, params.choice, position));
  std::vector<TokenLogit> list = likely_tokens(row, weights, params);
  return draw_from(list, scale, params, position, all_in_play ? weights.total() : 0);
}

int32_t choose_from_candidates(std::vector<TokenLogit> list, const Request& request, std::span<const int32_t> tokens) {
  if (masks_stops(request, tokens)) {
    std::erase_if(list, [&](const TokenLogit& t) { return std::ranges::find(request.stop_tokens, t.token) != request.stop_tokens.end(); });
  }
  if (request.sampling.greedy()) return list.front().token;
  const WeightScale scale(list.front().logit, request.sampling.temperature);
  return draw_from(list, scale, request.sampling, static_cast<uint32_t>(tokens.size()), 0);
}

int32_t choose(const PositionLogits& logits, const Request& request, std::span<const int32_t> tokens, const TokenMask* mask) {
  if (logits.full.empty()) return choose_from_candidates(logits.top, request, tokens);
  const auto position = static_cast<uint32_t>(tokens.size());
  const SamplingParams& params = request.sampling;
  if (mask == nullptr && params.logit_bias.empty() && !has_penalties(params) && !masks_stops(request, tokens)) {
    return choose_from_row(logits.full, logits.top.front().logit, params, position);
  }
  std::vector<float> adjusted = logits.full;
  adjust(adjusted, request, tokens, mask);
  return choose_from_row(adjusted, largest_of(adjusted), params, position);
}

}  // namespace

PositionLogits join_positions(std::span<PositionReport* const> reports) {
  PositionLogits joined;
  float max = -INFINITY;
  for (const PositionReport* report : reports) max = std::max(max, report->max);
  double sum = 0;
  for (PositionReport* report : reports) {
    sum += static_cast<double>(report->sum_exp) * std::exp(static_cast<double>(report->max) - max);
    joined.top.insert(joined.top.end(), report->top.begin(), report->top.end());
    if (joined.full.empty()) {
      joined.full = std::move(report->full);
    } else {
      joined.full.insert(joined.full.end(), report->full.begin(), report->full.end());
    }
    if (report->has_target) {
      joined.has_target = true;
      joined.target_logit = report->target_logit;
    }
  }
  if (!std::isfinite(max) || !std::isfinite(sum)) {
    throw Error(ErrorCode::kInternal, "the model produced logits that are not finite: its weights are damaged or overflow the KV format");
  }
  joined.log_sum_exp = max + std::log(sum);
  if (reports.size() > 1) {
    std::ranges::sort(joined.top, larger);
    size_t longest = 0;
    for (const PositionReport* report : reports) longest = std::max(longest, report->top.size());
    joined.top.resize(longest);
  }
  return joined;
}

bool can_go_on(const TokenMask& mask, const Request& request, std::span<const int32_t> tokens) {
  return !mask.empty() || (mask.may_end && !request.stop_tokens.empty() && !masks_stops(request, tokens));
}

bool needs_full_logits(const Request& request) {
  const SamplingParams& params = request.sampling;
  if (request.constraint != nullptr || !params.logit_bias.empty() || has_penalties(params)) return true;
  const auto spare = kNumCandidates - static_cast<int32_t>(request.stop_tokens.size());  // those may be masked
  if (params.greedy()) return spare < 1;
  return params.top_k <= 0 || params.top_k > spare;
}

SampledToken sample_token(const PositionLogits& logits, const Request& request, std::span<const int32_t> tokens, const TokenMask* mask) {
  SampledToken sampled;
  sampled.token = choose(logits, request, tokens, mask);
  if (!request.logprobs) return sampled;
  sampled.top = top_logprobs(logits, *request.logprobs);
  if (!logits.full.empty()) {
    sampled.logprob = logits.logprob(logits.full[static_cast<size_t>(sampled.token)]);
  } else {
    sampled.logprob = logits.logprob(std::ranges::find(logits.top, sampled.token, &TokenLogit::token)->logit);
  }
  return sampled;
}

std::vector<TokenLogprob> top_logprobs(const PositionLogits& logits, int32_t count) {
  std::vector<TokenLogprob> top;
  for (size_t i = 0; i < logits.top.size() && i < static_cast<size_t>(count); ++i) {
    top.push_back({logits.top[i].token, logits.logprob(logits.top[i].logit)});
  }
  return top;
}

}  // namespace terrace
