// The CPU's page codec: rows of 8 bits (KvType::kQ8), the same as those of a device pool of that format, from rows of more. On any ISA the same bits.
#pragma once

#include <cstdint>

#include "kernels/cpu/row_ops.h"
#include "kernels/page_codec.h"
#include "kernels/page_layout.h"

namespace terrace {

class CpuPageCodec final : public PageCodec {
 public:
  /// As check_stored_format() wants them.
  CpuPageCodec(const PageLayout& device, const PageLayout& stored, const RowOps& rows);
  size_t stored_bytes() const override { return stored_.page_stride; }
  /// `page`: of the device's layout; `stored`: of the smaller one. Equal pages give equal bytes; what is padding in either is not written.
  void encode(const std::byte* page, std::byte* stored) const;
  void decode(const std::byte* stored, std::byte* page) const;

 private:
  /// Rows of one layout in the other's format, all of them, K and V.
  void convert(const PageLayout& from, const std::byte* source, const PageLayout& to, std::byte* target) const;

  PageLayout device_, stored_;
  const RowOps& rows_;
};

}  // namespace terrace
