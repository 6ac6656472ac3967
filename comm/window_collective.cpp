#include "comm/window_collective.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr size_t kTile = 512;  // floats: a tile of the sum stays in L1
constexpr size_t kLine = 16;   // floats of a cache line: shares end there, so that no two ranks write one line

/// outs[o][i] = parts[0][i] + parts[1][i] + ..., for i in [begin, end). An out may be one of the parts.
void sum_in_rank_order(std::span<float* const> parts, size_t begin, size_t end, std::span<float* const> outs) {
  alignas(64) float sum[kTile];
  for (size_t tile = begin; tile < end; tile += kTile) {
    const size_t count = std::min(kTile, end - tile);
    std::memcpy(sum, parts[0] + tile, count * sizeof(float));
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      const float* __restrict part = parts[rank] + tile;
      for (size_t i = 0; i < count; ++i) sum[i] += part[i];
    }
    for (float* out : outs) std::memcpy(out + tile, sum, count * sizeof(float));
  }
}

}  // namespace

WindowCollective::WindowCollective(Window& window, int rank, PartExchange* other_hosts)
    : window_(window), rank_(rank), other_hosts_(other_hosts), parts_(static_cast<size_t>(window.size())), short_sum_(Window::kStageFloats) {
  const std::span<const int> ranks = window_.host_ranks();
  host_index_ = static_cast<size_t>(std::find(ranks.begin(), ranks.end(), rank_) - ranks.begin());
}

std::span<float> WindowCollective::buffer(size_t count) {
  if (count <= Window::kStageFloats) return {window_.floats(rank_) + stage_offset(), count};
  if (count <= Window::kBufferFloats) return {window_.floats(rank_) + Window::kBufferOffset, count};
  long_buffer_.resize(count);
  return long_buffer_;
}

std::span<float> WindowCollective::all_reduce(std::span<float> part) {
  window_.throw_if_aborted();
  if (window_.size() == 1 || part.empty()) return part;
  if (part.size() <= Window::kStageFloats) return reduce_short(part);
  float* area = window_.floats(rank_);
  if (part.data() >= area && part.data() < area + Window::kAreaFloats) {
    reduce_in_area(static_cast<size_t>(part.data() - area), part.size());
    return part;
  }
  for (size_t begin = 0; begin < part.size(); begin += Window::kCopyFloats) {
    const std::span<float> chunk = part.subspan(begin, std::min(Window::kCopyFloats, part.size() - begin));
    std::memcpy(area + Window::kCopyOffset, chunk.data(), chunk.size_bytes());
    reduce_in_area(Window::kCopyOffset, chunk.size());
    std::memcpy(chunk.data(), area + Window::kCopyOffset, chunk.size_bytes());
  }
  return part;
}

std::span<float> WindowCollective::reduce_short(std::span<float> part) {
  const size_t offset = stage_offset();
  float* const stage = window_.floats(rank_) + offset;
  if (part.data() != stage) std::memmove(stage, part.data(), part.size_bytes());
  exchange_parts(offset, part.size());
  float* const out = short_sum_.data();
  sum_in_rank_order(parts_, 0, part.size(), {&out, 1});
  return {out, part.size()};
}

void WindowCollective::reduce_in_area(size_t offset, size_t count) {
  exchange_parts(offset, count);
  const std::span<const int> ranks = window_.host_ranks();
  const size_t share = (count / ranks.size() + kLine) / kLine * kLine;
  outs_.clear();
  for (const int rank : ranks) outs_.push_back(parts_[static_cast<size_t>(rank)]);
  sum_in_rank_order(parts_, std::min(count, host_index_ * share), std::min(count, (host_index_ + 1) * share), outs_);
  window_.state(rank_).reduced.advance_to(++sequence_);
  for (const int rank : ranks) window_.wait(window_.state(rank).reduced, sequence_, rank, Window::Patience::kSum);
}

void WindowCollective::exchange_parts(size_t offset, size_t count) {
  const uint32_t now = ++sequence_;
  ReduceSignal& own = window_.state(rank_).reduced;
  own.notes[now % 2] = {count, offset};
  own.advance_to(now);
  for (const int rank : window_.host_ranks()) window_.wait(window_.state(rank).reduced, now, rank, Window::Patience::kSum);
  if (other_hosts_ != nullptr) bring_other_hosts({count, offset});
  for (int rank = 0; rank < window_.size(); ++rank) {
    ReduceSignal& peer = window_.state(rank).reduced;
    if (other_hosts_exist() && !is_local(rank)) window_.wait(peer, now, window_.leader(), Window::Patience::kSum);
    const ReduceNote& note = peer.notes[now % 2];
    if (note.count != count) {
      throw Error(ErrorCode::kInternal, fmt::format("rank {} adds up {} floats while rank {} adds up {}: the ranks do not run the same step. "
                                                    "Please report this.",
                                                    rank_, count, rank, note.count));
    }
    parts_[static_cast<size_t>(rank)] = window_.floats(rank) + note.offset;
  }
}

void WindowCollective::bring_other_hosts(const ReduceNote& note) {
  for (int rank = 0; rank < window_.size(); ++rank) {
    ReduceSignal& peer = window_.state(rank).reduced;
    if (!is_local(rank)) peer.notes[sequence_ % 2] = note;
    parts_[static_cast<size_t>(rank)] = window_.floats(rank) + peer.notes[sequence_ % 2].offset;
  }
  other_hosts_->exchange(parts_, note.count);
  for (int rank = 0; rank < window_.size(); ++rank) {
    if (!is_local(rank)) window_.state(rank).reduced.advance_to(sequence_);
  }
}

bool WindowCollective::is_local(int rank) const {
  const std::span<const int> ranks = window_.host_ranks();
  return std::binary_search(ranks.begin(), ranks.end(), rank);
}

}  // namespace terrace
