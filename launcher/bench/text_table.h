// A table of short texts, for people (aligned columns) or as Markdown. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace terrace {

class TextTable {
 public:
  /// The first `num_words` columns are aligned to the left, the others, of numbers, to the right.
  explicit TextTable(std::vector<std::string> header, size_t num_words = 1) : num_words_(num_words), rows_{std::move(header)} {}
  /// As many cells as the header has.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string plain() const;
  std::string markdown() const;

 private:
  size_t num_words_;
  std::vector<std::vector<std::string>> rows_;
};

/// "42", "1,234".
std::string whole_number(int64_t value);
/// Three digits, or all before the point: "0.853", "4.00", "21.4", "1,234".
std::string short_number(double value);
/// "21.4 G", "850 M".
std::string with_prefix(double value);

}  // namespace terrace
