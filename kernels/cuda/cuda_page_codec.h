// The device's page codec: what the page mover launches of it. Read-only once made.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "kernels/cuda/page_codec_kernels.h"
#include "kernels/page_codec.h"

namespace terrace {

class CudaPageCodec final : public PageCodec {
 public:
  /// As check_stored_format() wants them; kInvalidValue also for heads of more than kMostTurnedDims.
  CudaPageCodec(const PageLayout& device, const PageLayout& stored);
  size_t stored_bytes() const override { return stored_.page_stride; }
  /// From pages of the device's layout to pages of the smaller one, all in device memory.
  void encode(std::span<const PageConversion> pages, cudaStream_t stream) const { launch_convert_pages(pages, device_, stored_, stream); }
  void decode(std::span<const PageConversion> pages, cudaStream_t stream) const { launch_convert_pages(pages, stored_, device_, stream); }

 private:
  PageLayout device_, stored_;
};

}  // namespace terrace
