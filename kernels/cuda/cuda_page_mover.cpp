#include "kernels/cuda/cuda_page_mover.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/clock.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/page_sum_kernels.h"

namespace terrace {

CudaPageMover::CudaPageMover(CudaDevice& device, const PageMoverOptions& options)
    : device_(device), options_(options), clock_(options.clock != nullptr ? *options.clock : steady_clock()),
      stored_bytes_(stored_page_bytes(options.codec, options.page_bytes)), host_((device.make_current(), stored_bytes_), options.num_host_frames) {
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
  check_cuda(cudaStreamCreateWithFlags(&lane.link, cudaStreamNonBlocking), "making a stream for page copies");
  check_cuda(cudaStreamCreateWithFlags(&lane.kernels, cudaStreamNonBlocking), "making a stream for checksums");
  if (codec() != nullptr) lane.staged = device_.allocate(lane.stagings.size() * kPagesAtOnce * stored_bytes_);
  for (size_t i = 0; i < lane.stagings.size(); ++i) {
    Staging& staging = lane.stagings[i];
    if (codec() != nullptr) staging.pages = lane.staged.data() + i * kPagesAtOnce * stored_bytes_;
    for (cudaEvent_t* event : {&staging.ready, &staging.free}) check_cuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "making an event");
  }
  if (options_.num_host_frames == 0) return;
  void* sums = nullptr;
  check_cuda(cudaMallocHost(&sums, options_.num_host_frames * sizeof(uint64_t)), "allocating pinned memory for checksums");
  lane.sums = static_cast<uint64_t*>(sums);
}

void CudaPageMover::destroy() {
  for (cudaStream_t stream : {lanes_[0].link, lanes_[0].kernels, lanes_[1].link, lanes_[1].kernels, clock_stream_}) {
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
    for (const Staging& staging : each.stagings) {
      for (cudaEvent_t event : {staging.ready, staging.free}) {
        if (event != nullptr) cudaEventDestroy(event);
      }
    }
    if (each.sums != nullptr) cudaFreeHost(each.sums);
  }
}

PageMover::Ticket CudaPageMover::evict(std::span<const Move> moves) { return copy(Direction::kEvict, moves); }

PageMover::Ticket CudaPageMover::fetch(std::span<const Move> moves) { return copy(Direction::kFetch, moves); }

PageMover::Ticket CudaPageMover::copy(Direction direction, std::span<const Move> moves) {
  if (moves.empty()) return 0;
  device_.make_current();
  Lane& lane = this->lane(direction);
  const UnderWay& ticket = under_way_.emplace_back(UnderWay{++last_, clock_.now_us(), take_event(), take_event()});
  check_cuda(cudaEventRecord(ticket.queued, clock_stream_), "recording an event");
  check_cuda(cudaEventRecord(ops_, device_.stream()), "recording an event");
  check_cuda(cudaStreamWaitEvent(kernels_first(direction) ? lane.kernels : lane.link, ops_, 0), "ordering page copies after the ops");
  const size_t most = codec() != nullptr ? kPagesAtOnce : moves.size();
  for (size_t done = 0; done < moves.size(); done += most) copy_some(direction, moves.subspan(done, std::min(most, moves.size() - done)));
  check_cuda(cudaEventRecord(ticket.copied, kernels_first(direction) ? lane.link : lane.kernels), "recording an event");
  return last_;
}

void CudaPageMover::copy_some(Direction direction, std::span<const Move> moves) {
  Lane& lane = this->lane(direction);
  Staging& staging = lane.stagings[lane.turn++ % lane.stagings.size()];
  const bool evict = direction == Direction::kEvict;
  std::vector<std::byte*> pages;  // on the device, as they are on the host
  std::vector<PageConversion> conversions;
  std::vector<void*> to;
  std::vector<const void*> from;
  for (const Move& move : moves) {
    std::byte* const page = codec() != nullptr ? staging.pages + pages.size() * stored_bytes_ : device_page(move);
    conversions.push_back(evict ? PageConversion{device_page(move), page} : PageConversion{page, device_page(move)});
    to.push_back(evict ? host_page(move.host_frame) : page);
    from.push_back(evict ? page : host_page(move.host_frame));
    pages.push_back(page);
  }
  const auto run_kernels = [&] {
    if (codec() != nullptr && evict) codec()->encode(conversions, lane.kernels);
    sum_pages(lane, moves, pages);
    if (codec() != nullptr && !evict) codec()->decode(conversions, lane.kernels);
  };
  const auto use_link = [&] {
    if (const cudaError_t status = copy_pages(to, from, lane.link); status != cudaSuccess) {
      check_cuda(status, fmt::format("the copy of {} pages of {} bytes {}", moves.size(), stored_bytes_, evict ? "to the host" : "to the device").c_str());
    }
  };
  const bool link_first = !kernels_first(direction);
  cudaStream_t first = link_first ? lane.link : lane.kernels, second = link_first ? lane.kernels : lane.link;
  if (codec() != nullptr) check_cuda(cudaStreamWaitEvent(first, staging.free, 0), "ordering page copies");
  link_first ? use_link() : run_kernels();
  check_cuda(cudaEventRecord(staging.ready, first), "recording an event");
  check_cuda(cudaStreamWaitEvent(second, staging.ready, 0), "ordering checksums and page copies");
  link_first ? run_kernels() : use_link();
  if (codec() != nullptr) check_cuda(cudaEventRecord(staging.free, second), "recording an event");
}

void CudaPageMover::sum_pages(Lane& lane, std::span<const Move> moves, std::span<std::byte* const> pages) {
  std::vector<PageSum> sums;
  for (size_t i = 0; i < moves.size(); ++i) {
    const PageSum sum = {pages[i], lane.sums + moves[i].host_frame};
    const auto same = std::ranges::find(sums, sum.sum, &PageSum::sum);  // a page that goes to two frames: the last counts
    same == sums.end() ? sums.push_back(sum) : void(*same = sum);
  }
  launch_page_sums(sums, stored_bytes_, lane.kernels);
}

cudaError_t CudaPageMover::copy_pages(std::vector<void*>& to, std::vector<const void*>& from, cudaStream_t stream) {
  const std::vector<size_t> sizes(to.size(), stored_bytes_);
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
