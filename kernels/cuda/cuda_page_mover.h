// The device's page mover: one stream for evictions and one for fetches, so that both directions of the link are used beside the ops' stream; one batched copy call a direction. Behind
// each runs a stream of checksums, made by a kernel of the device's pages while the link goes on: a move is finished when its pages' sums are on the host. With a codec some pages at a time lie on the device
// as they are stored, between the link and the pool: while the link has four of them, kernels have four others.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <deque>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_page_codec.h"
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
  std::optional<int64_t> finished_us(Ticket ticket) override;
  void wait(Ticket ticket) override;
  void order_ops_after(Ticket ticket) override;
  void wait_for_ops() override { device_.synchronize(); }
  std::byte* host_page(uint32_t host_frame) override { return host_.page(host_frame); }
  uint64_t checksum(Direction direction, uint32_t host_frame) override { return lane(direction).sums[host_frame]; }

 private:
  static constexpr size_t kPagesAtOnce = kStagedPages / 4;  // two stagings of two lanes
  struct Staging {
    std::byte* pages = nullptr;   // [kPagesAtOnce] as they are stored
    cudaEvent_t ready = nullptr;  // for the lane's second stream
    cudaEvent_t free = nullptr;   // for its first
  };
  struct Lane {  // of one direction
    cudaStream_t link = nullptr;
    cudaStream_t kernels = nullptr;
    uint64_t* sums = nullptr;  // by host frame; pinned
    Buffer staged;             // where there is a codec
    std::array<Staging, 2> stagings;  // in turn
    size_t turn = 0;
  };
  struct UnderWay {
    Ticket ticket;
    int64_t queued_us;
    cudaEvent_t queued;
    cudaEvent_t copied;  // null: its end has been seen
  };

  void make(Lane& lane);
  Lane& lane(Direction direction) { return lanes_[static_cast<size_t>(direction)]; }
  std::byte* device_page(const Move& move) const { return options_.device_base + move.device_frame * options_.page_bytes; }
  const CudaPageCodec* codec() const { return static_cast<const CudaPageCodec*>(options_.codec); }
  Ticket copy(Direction direction, std::span<const Move> moves);
  /// On the way out a codec's kernels come first, then the link; else the link comes first.
  bool kernels_first(Direction direction) const { return codec() != nullptr && direction == Direction::kEvict; }
  /// With a codec, at most kPagesAtOnce.
  void copy_some(Direction direction, std::span<const Move> moves);
  void sum_pages(Lane& lane, std::span<const Move> moves, std::span<std::byte* const> pages);
  /// In one call, or, where the driver has no such call, one by one.
  cudaError_t copy_pages(std::vector<void*>& to, std::vector<const void*>& from, cudaStream_t stream);
  cudaEvent_t take_event();
  /// Null where its end has been seen.
  UnderWay* find(Ticket ticket);
  int64_t end_of(const UnderWay& copy);
  void forget(UnderWay& copy);
  void destroy();

  CudaDevice& device_;
  PageMoverOptions options_;
  Clock& clock_;
  size_t stored_bytes_;  // of a page on the link and on the host
  PinnedPool host_;
  bool batches_ = true;                    // the driver has batched copies
  std::array<Lane, 2> lanes_;
  cudaStream_t clock_stream_ = nullptr;    // always empty: an event recorded in it happens at once
  cudaEvent_t ops_ = nullptr;              // what had been queued on the ops' stream at the last move
  std::deque<UnderWay> under_way_;         // ascending tickets; the first one's end has not been seen
  std::vector<cudaEvent_t> spare_events_;
  Ticket last_ = 0;
};

}  // namespace terrace
