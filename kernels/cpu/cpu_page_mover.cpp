#include "kernels/cpu/cpu_page_mover.h"

#include <algorithm>

#include "kernels/base/clock.h"
#include "kernels/cpu/cpu_page_codec.h"

namespace terrace {

CpuPageMover::CpuPageMover(const PageMoverOptions& options, Buffer host_pool, CopyPage copy_page)
    : options_(options), stored_bytes_(stored_page_bytes(options.codec, options.page_bytes)), host_pool_(std::move(host_pool)), copy_page_(copy_page),
      clock_(options.clock != nullptr ? *options.clock : steady_clock()) {
  if (options_.host_base == nullptr) options_.host_base = host_pool_.data();
  for (const Direction direction : {Direction::kEvict, Direction::kFetch}) {
    lane(direction).checksums.resize(options.num_host_frames);
    if (options.codec != nullptr) lane(direction).scratch.resize(stored_bytes_ / sizeof(Line));
    lane(direction).thread = std::thread([this, direction] { run(direction); });
  }
}

CpuPageMover::~CpuPageMover() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  queued_.notify_all();
  for (Lane& each : lanes_) each.thread.join();
}

PageMover::Ticket CpuPageMover::queue(Direction direction, std::span<const Move> moves) {
  if (moves.empty()) return 0;
  const int64_t due_us = occupy_link(lane(direction), moves.size() * stored_bytes_);
  {
    const std::lock_guard lock(mutex_);
    under_way_.emplace(++last_, UnderWay{.due_us = due_us});
    lane(direction).waiting.push_back({last_, {moves.begin(), moves.end()}});
  }
  queued_.notify_all();
  return last_;
}

int64_t CpuPageMover::occupy_link(Lane& lane, size_t bytes) {
  const PageLink& link = options_.link;
  if (link.bytes_per_second > 0) {
    const auto transfer_us = static_cast<int64_t>(static_cast<double>(bytes) * 1e6 / link.bytes_per_second);
    lane.busy_until_us = std::max(lane.busy_until_us, clock_.now_us()) + transfer_us;
    return lane.busy_until_us + link.latency_us;
  }
  return link.latency_us > 0 ? clock_.now_us() + link.latency_us : 0;
}

void CpuPageMover::run(Direction direction) {
  std::deque<Job>& waiting = lane(direction).waiting;
  std::unique_lock lock(mutex_);
  for (;;) {
    queued_.wait(lock, [&] { return stop_ || !waiting.empty(); });
    if (stop_) return;
    const Job job = std::move(waiting.front());
    waiting.pop_front();
    for (const Move& move : job.moves) {
      if (stop_) return;
      lock.unlock();
      copy(direction, move);
      lock.lock();
    }
    under_way_.at(job.ticket).copied_us = clock_.now_us();
    copied_.notify_all();
  }
}

void CpuPageMover::copy(Direction direction, const Move& move) {
  std::byte* device_page = options_.device_base + move.device_frame * options_.page_bytes;
  std::byte* host = host_page(move.host_frame);
  const bool evict = direction == Direction::kEvict;
  uint64_t& checksum = lane(direction).checksums[move.host_frame];
  if (options_.codec == nullptr) {
    checksum = copy_page_(evict ? host : device_page, evict ? device_page : host, options_.page_bytes);
    return;
  }
  const auto& codec = static_cast<const CpuPageCodec&>(*options_.codec);
  std::byte* stored = lane(direction).scratch.front().bytes;
  if (evict) {
    codec.encode(device_page, stored);
    checksum = copy_page_(host, stored, stored_bytes_);
  } else {
    checksum = copy_page_(stored, host, stored_bytes_);
    codec.decode(stored, device_page);
  }
}

std::optional<int64_t> CpuPageMover::finished_us(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = under_way_.find(ticket);
  if (found == under_way_.end()) return clock_.now_us();
  const UnderWay copy = found->second;
  if (!copy.copied_us || copy.due_us > clock_.now_us()) return std::nullopt;
  under_way_.erase(found);
  return std::max(*copy.copied_us, copy.due_us);
}

void CpuPageMover::wait(Ticket ticket) {
  int64_t due_us = 0;
  {
    std::unique_lock lock(mutex_);
    const auto found = under_way_.find(ticket);
    if (found == under_way_.end()) return;
    copied_.wait(lock, [&] { return found->second.copied_us.has_value(); });
    due_us = found->second.due_us;
    under_way_.erase(found);
  }
  if (const int64_t rest_us = due_us - clock_.now_us(); due_us > 0 && rest_us > 0) clock_.sleep_us(rest_us);
}

}  // namespace terrace
