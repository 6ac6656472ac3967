#include "kernels/cuda/cuda_page_mover.h"

#include <fmt/format.h>

#include "kernels/cuda/check.h"

namespace terrace {

CudaPageMover::CudaPageMover(CudaDevice& device, const PageMoverOptions& options)
    : device_(device), options_(options), host_((device.make_current(), options.page_bytes), options.num_host_frames) {
  try {
    check_cuda(cudaStreamCreateWithFlags(&evict_stream_, cudaStreamNonBlocking), "making a stream for evictions");
    check_cuda(cudaStreamCreateWithFlags(&fetch_stream_, cudaStreamNonBlocking), "making a stream for fetches");
    check_cuda(cudaEventCreateWithFlags(&ops_, cudaEventDisableTiming), "making an event");
  } catch (...) {
    destroy();
    throw;
  }
}

CudaPageMover::~CudaPageMover() { destroy(); }

void CudaPageMover::destroy() {
  for (cudaStream_t stream : {evict_stream_, fetch_stream_}) {
    if (stream == nullptr) continue;
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
  for (const UnderWay& copy : under_way_) cudaEventDestroy(copy.copied);
  for (cudaEvent_t event : spare_events_) cudaEventDestroy(event);
  if (ops_ != nullptr) cudaEventDestroy(ops_);
}

PageMover::Ticket CudaPageMover::evict(std::span<const Move> moves) { return copy(Direction::kEvict, moves); }

PageMover::Ticket CudaPageMover::fetch(std::span<const Move> moves) { return copy(Direction::kFetch, moves); }

PageMover::Ticket CudaPageMover::copy(Direction direction, std::span<const Move> moves) {
  if (moves.empty()) return 0;
  device_.make_current();
  const cudaStream_t stream = direction == Direction::kEvict ? evict_stream_ : fetch_stream_;
  std::vector<void*> to(moves.size());
  std::vector<const void*> from(moves.size());
  for (size_t i = 0; i < moves.size(); ++i) {
    std::byte* device_page = options_.device_base + moves[i].device_frame * options_.page_bytes;
    to[i] = direction == Direction::kEvict ? host_page(moves[i].host_frame) : device_page;
    from[i] = direction == Direction::kEvict ? device_page : host_page(moves[i].host_frame);
  }
  const std::vector<size_t> sizes(moves.size(), options_.page_bytes);
  cudaMemcpyAttributes attributes = {};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t first_with_attributes = 0;

  check_cuda(cudaEventRecord(ops_, device_.stream()), "recording an event");
  check_cuda(cudaStreamWaitEvent(stream, ops_, 0), "ordering page copies after the ops");
  const cudaError_t status = cudaMemcpyBatchAsync(to.data(), from.data(), sizes.data(), moves.size(), &attributes, &first_with_attributes, 1, stream);
  if (status != cudaSuccess) {
    check_cuda(status, fmt::format("the copy of {} pages of {} bytes {}", moves.size(), options_.page_bytes, direction == Direction::kEvict ? "to the host" : "to the device").c_str());
  }
  const cudaEvent_t copied = take_event();
  under_way_.push_back({++last_, copied});
  check_cuda(cudaEventRecord(copied, stream), "recording an event");
  return last_;
}

cudaEvent_t CudaPageMover::take_event() {
  while (!under_way_.empty() && cudaEventQuery(under_way_.front().copied) == cudaSuccess) {
    spare_events_.push_back(under_way_.front().copied);
    under_way_.pop_front();
  }
  if (spare_events_.empty()) {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    return event;
  }
  const cudaEvent_t event = spare_events_.back();
  spare_events_.pop_back();
  return event;
}

cudaEvent_t CudaPageMover::event_of(Ticket ticket) const {
  if (under_way_.empty() || ticket < under_way_.front().ticket) return nullptr;
  return under_way_[ticket - under_way_.front().ticket].copied;
}

bool CudaPageMover::finished(Ticket ticket) {
  const cudaEvent_t event = event_of(ticket);
  if (event == nullptr) return true;
  device_.make_current();
  const cudaError_t status = cudaEventQuery(event);
  if (status != cudaErrorNotReady) check_cuda(status, "asking for page copies");
  return status == cudaSuccess;
}

void CudaPageMover::wait(Ticket ticket) {
  const cudaEvent_t event = event_of(ticket);
  if (event == nullptr) return;
  device_.make_current();
  check_cuda(cudaEventSynchronize(event), "waiting for page copies");
}

void CudaPageMover::order_ops_after(Ticket ticket) {
  const cudaEvent_t event = event_of(ticket);
  if (event == nullptr) return;
  device_.make_current();
  check_cuda(cudaStreamWaitEvent(device_.stream(), event, 0), "ordering ops after page copies");
}

}  // namespace terrace
