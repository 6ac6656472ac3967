// The CPU's page mover: both pools are host memory, and a copy has been made when the call returns.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/page_mover.h"

namespace terrace {

class CpuPageMover : public PageMover {
 public:
  /// `host_pool`: num_host_frames pages.
  CpuPageMover(const PageMoverOptions& options, Buffer host_pool) : options_(options), host_pool_(std::move(host_pool)) {}
  Ticket evict(std::span<const Move> moves) override;
  Ticket fetch(std::span<const Move> moves) override;
  bool finished(Ticket) override { return true; }
  void wait(Ticket) override {}
  void order_ops_after(Ticket) override {}
  std::byte* host_page(uint32_t host_frame) override { return host_pool_.data() + host_frame * options_.page_bytes; }

 private:
  std::byte* device_page(uint32_t frame) const { return options_.device_base + frame * options_.page_bytes; }

  PageMoverOptions options_;
  Buffer host_pool_;
};

}  // namespace terrace
