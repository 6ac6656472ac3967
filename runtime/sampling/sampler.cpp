#include "runtime/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "kernels/base/error.h"
#include "runtime/sampling/philox.h"

namespace terrace {
namespace {

bool larger(const TokenLogit& a, const TokenLogit& b) { return a.logit > b.logit || (a.logit == b.logit && a.token < b.token); }

bool has_penalties(const SamplingParams& params) {
  return params.presence_penalty != 0 || params.frequency_penalty != 0 || params.repetition_penalty != 1;
}

// Bias, then the min_tokens mask, then penalties, in place on the whole vocabulary.
void adjust(std::vector<float>& logits, const Request& request, std::span<const int32_t> tokens) {
  const SamplingParams& params = request.sampling;
  const auto vocab = static_cast<int32_t>(logits.size());
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && token < vocab) logits[static_cast<size_t>(token)] += bias;
  }
  const size_t num_prompt = request.prompt.size();
  if (tokens.size() - num_prompt < static_cast<size_t>(request.min_tokens)) {
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

// All tokens in play with their logits; from the candidates where those are enough.
std::vector<TokenLogit> tokens_in_play(const PositionLogits& logits, const Request& request, std::span<const int32_t> tokens) {
  std::vector<TokenLogit> in_play;
  if (logits.full.empty()) {
    const bool mask_stops = tokens.size() - request.prompt.size() < static_cast<size_t>(request.min_tokens);
    for (const TokenLogit& candidate : logits.top) {
      const bool masked = mask_stops && std::ranges::find(request.stop_tokens, candidate.token) != request.stop_tokens.end();
      if (!masked) in_play.push_back(candidate);
    }
    return in_play;
  }
  std::vector<float> adjusted = logits.full;
  adjust(adjusted, request, tokens);
  in_play.reserve(adjusted.size());
  for (size_t i = 0; i < adjusted.size(); ++i) in_play.push_back({static_cast<int32_t>(i), adjusted[i]});
  return in_play;
}

// Cuts to the top_k largest, sorted; 0 keeps all.
void keep_top_k(std::vector<TokenLogit>& in_play, int32_t top_k) {
  if (top_k <= 0 || static_cast<size_t>(top_k) >= in_play.size()) return;
  std::partial_sort(in_play.begin(), in_play.begin() + top_k, in_play.end(), larger);
  in_play.resize(static_cast<size_t>(top_k));
}

// Cuts to the smallest set of most likely tokens whose probabilities sum to top_p of `total`. Sorts by doubling prefixes: the set is usually small.
void keep_top_p(std::vector<TokenLogit>& in_play, double top_p, double total, const auto& weight) {
  if (top_p >= 1.0) return;
  double mass = 0;
  size_t sorted = 0;
  for (size_t i = 0; i < in_play.size(); ++i) {
    if (i == sorted) {
      sorted = std::min(in_play.size(), std::max<size_t>(64, sorted * 4));
      std::partial_sort(in_play.begin() + static_cast<std::ptrdiff_t>(i), in_play.begin() + static_cast<std::ptrdiff_t>(sorted),
                        in_play.end(), larger);
    }
    mass += weight(in_play[i]);
    if (mass >= top_p * total) {
      in_play.resize(i + 1);
      return;
    }
  }
}

int32_t choose(std::vector<TokenLogit>& in_play, const SamplingParams& params, uint32_t position) {
  const TokenLogit best = *std::ranges::min_element(in_play, larger);
  if (params.greedy()) return best.token;
  const auto weight = [&](const TokenLogit& t) {  // relative to the most likely token's
    return std::exp((static_cast<double>(t.logit) - best.logit) / params.temperature);
  };
  if (params.min_p > 0) std::erase_if(in_play, [&](const TokenLogit& t) { return weight(t) < params.min_p; });
  keep_top_k(in_play, params.top_k);
  double total = 0;
  for (const TokenLogit& t : in_play) total += weight(t);
  if (params.top_p < 1.0f) {
    keep_top_p(in_play, params.top_p, total, weight);
    total = 0;
    for (const TokenLogit& t : in_play) total += weight(t);
  }
  double left = sampling_uniform(params.seed, params.choice, position) * total;
  for (const TokenLogit& t : in_play) {
    left -= weight(t);
    if (left < 0) return t.token;
  }
  return best.token;  // rounding left a sliver of the mass
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

bool needs_full_logits(const Request& request) {
  const SamplingParams& params = request.sampling;
  if (!params.logit_bias.empty() || has_penalties(params)) return true;
  const auto spare = kNumCandidates - static_cast<int32_t>(request.stop_tokens.size());  // those may be masked
  if (params.greedy()) return spare < 1;
  return params.top_k <= 0 || params.top_k > spare;
}

SampledToken sample_token(const PositionLogits& logits, const Request& request, std::span<const int32_t> tokens) {
  std::vector<TokenLogit> in_play = tokens_in_play(logits, request, tokens);
  SampledToken sampled;
  sampled.token = choose(in_play, request.sampling, static_cast<uint32_t>(tokens.size()));
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
