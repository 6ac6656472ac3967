// The device's page mover: one stream for evictions and one for fetches, so that both directions of the link are used beside the ops' stream; one batched copy call a direction.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/pinned_pool.h"
#include "kernels/page_mover.h"

namespace terrace {

class CudaPageMover : public PageMover {
 public:
  CudaPageMover(CudaDevice& device, const PageMoverOptions& options);
  /// Waits for the copies under way.
  ~CudaPageMover() override;

  Ticket evict(std::span<const Move> moves) override;
  Ticket fetch(std::span<const Move> moves) override;
  bool finished(Ticket ticket) override;
  void wait(Ticket ticket) override;
  void order_ops_after(Ticket ticket) override;
  std::byte* host_page(uint32_t host_frame) override { return host_.page(host_frame); }

 private:
  struct UnderWay {
    Ticket ticket;
    cudaEvent_t copied;
  };

  Ticket copy(Direction direction, std::span<const Move> moves);
  cudaEvent_t take_event();
  /// Null if it has finished and been forgotten.
  cudaEvent_t event_of(Ticket ticket) const;
  void destroy();

  CudaDevice& device_;
  PageMoverOptions options_;
  PinnedPool host_;
  cudaStream_t evict_stream_ = nullptr;
  cudaStream_t fetch_stream_ = nullptr;
  cudaEvent_t ops_ = nullptr;              // what had been queued on the ops' stream at the last move
  std::deque<UnderWay> under_way_;         // ascending tickets
  std::vector<cudaEvent_t> spare_events_;
  Ticket last_ = 0;
};

}  // namespace terrace
