// Pages of a colder tier in a smaller number format than the device's: the page mover writes them so there, and makes device pages of them again. What was rounded stays
// rounded. Made by a backend, for its own mover, which alone knows how it is run: on the CPU by the mover's copy threads, on CUDA by kernels on the device. Any thread.
#pragma once

#include <cstddef>

namespace terrace {

struct PageLayout;

class PageCodec {
 public:
  virtual ~PageCodec() = default;
  /// Of a page in the smaller layout; a multiple of 4,096.
  virtual size_t stored_bytes() const = 0;
};

/// Of a page off the device, where those on it have `page_bytes`. `codec`: null where they are the same.
inline size_t stored_page_bytes(const PageCodec* codec, size_t page_bytes) { return codec != nullptr ? codec->stored_bytes() : page_bytes; }

/// Layouts of the same page but for the formats. Throws kInvalidValue where `stored` is not 8 bits throughout, or the device's rows are smaller.
void check_stored_format(const PageLayout& device, const PageLayout& stored);

}  // namespace terrace
