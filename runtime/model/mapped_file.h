// A whole file mapped read-only into memory. Immutable after open(): any thread. Does not watch the file: whoever shortens it while it
// is mapped kills the reader with SIGBUS, so model files are replaced by renaming, never rewritten.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace terrace {

class MappedFile {
 public:
  /// Error(kModelUnsupported) that names the file and the reason where it cannot be opened or is no regular file.
  static MappedFile open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Tells the kernel to read the whole pages inside `bytes` ahead, or (copied, done) to take them back first when memory is short. Only
/// advice: never changes what the bytes hold, failures are ignored.
enum class PageAdvice { kWillNeed, kForget };
void advise_pages(std::span<const std::byte> bytes, PageAdvice advice);

}  // namespace terrace
