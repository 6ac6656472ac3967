// Pages of a colder tier in a smaller number format than the device's: the page mover writes them so there, and makes device pages of them again. What was rounded stays
// rounded. Made by the backend, which knows its pages (Backend::make_page_codec). Any thread.
#pragma once

#include <cstddef>

namespace terrace {

class PageCodec {
 public:
  virtual ~PageCodec() = default;
  /// Of a page in the smaller layout; a multiple of 64.
  virtual size_t stored_bytes() const = 0;
  /// `page`: of the device's layout; `stored`: of the smaller one. Equal pages give equal bytes; what is padding in either is not written.
  virtual void encode(const std::byte* page, std::byte* stored) const = 0;
  virtual void decode(const std::byte* stored, std::byte* page) const = 0;
};

/// Of a page off the device, where those on it have `page_bytes`. `codec`: null where they are the same.
inline size_t stored_page_bytes(const PageCodec* codec, size_t page_bytes) { return codec != nullptr ? codec->stored_bytes() : page_bytes; }

}  // namespace terrace
