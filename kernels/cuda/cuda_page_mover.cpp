#include "kernels/cuda/cuda_page_mover.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/clock.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/page_sum_kernels.h"

namespace terrace {

CudaPageMover::CudaPageMover(CudaDevice& device, const PageMoverOptions& options)
    : device_(device), options_(options), clock_(options.clock != nullptr ? *options.clock : steady_clock()), host_((device.make_current(), options.page_bytes), options.num_host_frames) {
  try {
    for (Lane& each : lanes_) make(each);
    check_cuda(cudaStreamCreateWithFlags(&clock_stream_, cudaStreamNonBlocking), "making a stream for times");
    check_cuda(cudaEventCreateWithFlags(&ops_, cudaEventDisableTiming), "making an event");
  } catch (...) {
    destroy();
    throw;
  }
}

CudaPageMover::~CudaPageMover() { destroy(); }

void CudaPageMover::make(Lane& lane) {
  check_cuda(cudaStreamCreateWithFlags(&lane.copies, cudaStreamNonBlocking), "making a stream for page copies");
  check_cuda(cudaStreamCreateWithFlags(&lane.checks, cudaStreamNonBlocking), "making a stream for checksums");
  check_cuda(cudaEventCreateWithFlags(&lane.moved, cudaEventDisableTiming), "making an event");
  if (options_.num_host_frames == 0) return;
  void* sums = nullptr;
  check_cuda(cudaMallocHost(&sums, options_.num_host_frames * sizeof(uint64_t)), "allocating pinned memory for checksums");
  lane.sums = static_cast<uint64_t*>(sums);
}

void CudaPageMover::destroy() {
  for (cudaStream_t stream : {lanes_[0].copies, lanes_[0].checks, lanes_[1].copies, lanes_[1].checks, clock_stream_}) {
    if (stream == nullptr) continue;
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
  for (UnderWay& copy : under_way_) {
    if (copy.copied != nullptr) spare_events_.insert(spare_events_.end(), {copy.queued, copy.copied});
  }
  for (cudaEvent_t event : spare_events_) cudaEventDestroy(event);
  if (ops_ != nullptr) cudaEventDestroy(ops_);
  for (const Lane& each : lanes_) {
    if (each.moved != nullptr) cudaEventDestroy(each.moved);
    if (each.sums != nullptr) cudaFreeHost(each.sums);
  }
}

PageMover::Ticket CudaPageMover::evict(std::span<const Move> moves) { return copy(Direction::kEvict, moves); }

PageMover::Ticket CudaPageMover::fetch(std::span<const Move> moves) { return copy(Direction::kFetch, moves); }

PageMover::Ticket CudaPageMover::copy(Direction direction, std::span<const Move> moves) {
  if (moves.empty()) return 0;
  device_.make_current();
  Lane& lane = this->lane(direction);
  std::vector<void*> to(moves.size());
  std::vector<const void*> from(moves.size());
  for (size_t i = 0; i < moves.size(); ++i) {
    to[i] = direction == Direction::kEvict ? host_page(moves[i].host_frame) : device_page(moves[i]);
    from[i] = direction == Direction::kEvict ? device_page(moves[i]) : host_page(moves[i].host_frame);
  }
  const UnderWay& ticket = under_way_.emplace_back(UnderWay{++last_, clock_.now_us(), take_event(), take_event()});
  check_cuda(cudaEventRecord(ticket.queued, clock_stream_), "recording an event");
  check_cuda(cudaEventRecord(ops_, device_.stream()), "recording an event");
  check_cuda(cudaStreamWaitEvent(lane.copies, ops_, 0), "ordering page copies after the ops");
  if (const cudaError_t status = copy_pages(to, from, lane.copies); status != cudaSuccess) {
    check_cuda(status, fmt::format("the copy of {} pages of {} bytes {}", moves.size(), options_.page_bytes, direction == Direction::kEvict ? "to the host" : "to the device").c_str());
  }
  sum_pages(lane, moves);
  check_cuda(cudaEventRecord(ticket.copied, lane.checks), "recording an event");
  return last_;
}

void CudaPageMover::sum_pages(Lane& lane, std::span<const Move> moves) {
  check_cuda(cudaEventRecord(lane.moved, lane.copies), "recording an event");
  check_cuda(cudaStreamWaitEvent(lane.checks, lane.moved, 0), "ordering checksums after page copies");
  std::vector<PageSum> sums;
  for (const Move& move : moves) {
    const PageSum sum = {device_page(move), lane.sums + move.host_frame};
    const auto same = std::ranges::find(sums, sum.sum, &PageSum::sum);  // a page that goes to two frames: the last counts
    same == sums.end() ? sums.push_back(sum) : void(*same = sum);
  }
  launch_page_sums(sums, options_.page_bytes, lane.checks);
}

cudaError_t CudaPageMover::copy_pages(std::vector<void*>& to, std::vector<const void*>& from, cudaStream_t stream) {
  const std::vector<size_t> sizes(to.size(), options_.page_bytes);
  cudaMemcpyAttributes attributes = {};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t first_with_attributes = 0;
  if (batches_) {
    const cudaError_t status = cudaMemcpyBatchAsync(to.data(), from.data(), sizes.data(), to.size(), &attributes, &first_with_attributes, 1, stream);
    if (status != cudaErrorNotSupported && status != cudaErrorCallRequiresNewerDriver) return status;
    cudaGetLastError();  // no lasting failure
    batches_ = false;
  }
  for (size_t i = 0; i < to.size(); ++i) {
    if (const cudaError_t status = cudaMemcpyAsync(to[i], from[i], sizes[i], cudaMemcpyDefault, stream); status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

cudaEvent_t CudaPageMover::take_event() {
  if (spare_events_.empty()) {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreate(&event), "making an event");
    return event;
  }
  const cudaEvent_t event = spare_events_.back();
  spare_events_.pop_back();
  return event;
}

CudaPageMover::UnderWay* CudaPageMover::find(Ticket ticket) {
  if (under_way_.empty() || ticket < under_way_.front().ticket) return nullptr;
  UnderWay& copy = under_way_[ticket - under_way_.front().ticket];
  return copy.copied != nullptr ? &copy : nullptr;
}

// The device's clock between the two events, on the host's.
int64_t CudaPageMover::end_of(const UnderWay& copy) {
  float ms = 0;
  const cudaError_t status = cudaEventElapsedTime(&ms, copy.queued, copy.copied);
  if (status == cudaErrorNotReady) return clock_.now_us();  // the empty stream was late
  check_cuda(status, "asking how long page copies took");
  return copy.queued_us + static_cast<int64_t>(ms * 1000);
}

void CudaPageMover::forget(UnderWay& copy) {
  spare_events_.insert(spare_events_.end(), {copy.queued, copy.copied});
  copy.copied = nullptr;
  while (!under_way_.empty() && under_way_.front().copied == nullptr) under_way_.pop_front();
}

std::optional<int64_t> CudaPageMover::finished_us(Ticket ticket) {
  UnderWay* copy = find(ticket);
  if (copy == nullptr) return clock_.now_us();
  device_.make_current();
  const cudaError_t status = cudaEventQuery(copy->copied);
  if (status == cudaErrorNotReady) return std::nullopt;
  check_cuda(status, "asking for page copies");
  const int64_t ended_us = end_of(*copy);
  forget(*copy);
  return ended_us;
}

void CudaPageMover::wait(Ticket ticket) {
  UnderWay* copy = find(ticket);
  if (copy == nullptr) return;
  device_.make_current();
  check_cuda(cudaEventSynchronize(copy->copied), "waiting for page copies");
  forget(*copy);
}

void CudaPageMover::order_ops_after(Ticket ticket) {
  const UnderWay* copy = find(ticket);
  if (copy == nullptr) return;
  device_.make_current();
  check_cuda(cudaStreamWaitEvent(device_.stream(), copy->copied, 0), "ordering ops after page copies");
}

}  // namespace terrace
