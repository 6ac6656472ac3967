// The CPU's page codec: rows of 8 bits (KvType::kQ8), the same as those of a device pool of that format, from rows of more. On any ISA the same bits.
#pragma once

#include <cstdint>

#include "kernels/cpu/row_ops.h"
#include "kernels/page_codec.h"
#include "kernels/page_layout.h"

namespace terrace {

class CpuPageCodec : public PageCodec {
 public:
  /// Layouts of the same page but for the formats; kInvalidValue where `stored` is not 8 bits throughout, or the device's rows are smaller.
  CpuPageCodec(const PageLayout& device, const PageLayout& stored, const RowOps& rows);
  size_t stored_bytes() const override { return stored_.page_stride; }
  void encode(const std::byte* page, std::byte* stored) const override;
  void decode(const std::byte* stored, std::byte* page) const override;

 private:
  /// Rows of one layout in the other's format, all of them, K and V.
  void convert(const PageLayout& from, const std::byte* source, const PageLayout& to, std::byte* target) const;

  PageLayout device_, stored_;
  const RowOps& rows_;
};

}  // namespace terrace
