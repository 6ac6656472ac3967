// A text file mapped read-only, so that files larger than memory can be walked through. Immutable: any thread. Whoever shortens the file
// meanwhile kills the reader with SIGBUS.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace terrace {

class MappedText {
 public:
  /// Throws kInvalidValue, naming the file and the reason, for what is not a readable regular file.
  explicit MappedText(const std::string& path);
  ~MappedText();
  MappedText(const MappedText&) = delete;
  MappedText& operator=(const MappedText&) = delete;

  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

/// The first line of `text`, without its newline, and what follows; the last line may lack the newline.
inline std::pair<std::string_view, std::string_view> split_line(std::string_view text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return {text, {}};
  return {text.substr(0, end), text.substr(end + 1)};
}

}  // namespace terrace
