#include "comm/window_collective.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/sum_parts.h"
#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr size_t kLine = 16;  // floats of a cache line: shares end there, so that no two ranks write one line

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
  sum_parts(parts_, 0, part.size(), short_sum_.data());
  return {short_sum_.data(), part.size()};
}

void WindowCollective::reduce_in_area(size_t offset, size_t count) {
  exchange_parts(offset, count);
  const std::span<const int> ranks = window_.host_ranks();
  const size_t share = (count / ranks.size() + kLine) / kLine * kLine;
  outs_.clear();
  for (const int rank : ranks) outs_.push_back(parts_[static_cast<size_t>(rank)]);
  sum_parts_in_place(parts_, std::min(count, host_index_ * share), std::min(count, (host_index_ + 1) * share), outs_);
  window_.state(rank_).reduced.advance_to(++sequence_);
  for (const int rank : ranks) window_.wait(window_.state(rank).reduced, sequence_, rank, Window::Patience::kSum);
}

void WindowCollective::exchange_parts(size_t offset, size_t count) {
  const uint32_t now = ++sequence_;
  ReduceSignal& own = window_.state(rank_).reduced;
  own.notes[now % 2] = {count, offset};
  // A locked instruction, which sleepers need, waits for this line to come back from the others' caches. Theirs come meanwhile.
  own.publish(now);
  for (const int rank : window_.host_ranks()) {
    if (!window_.glance(window_.state(rank).reduced, now)) break;
  }
  own.wake_sleepers();
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
