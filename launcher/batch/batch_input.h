// A batch file of one request a line, indexed but not held: the lines of a job may be larger than memory. Read-only, one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/batch/mapped_text.h"

namespace terrace {

struct BatchLine {
  int64_t number = 0;     // from 1
  size_t offset = 0;
  size_t length = 0;      // without the newline
  std::string custom_id;  // "line:N" where the line is not an object with a custom_id
  bool readable = false;  // false: it is answered with an error, see problem()
};

class BatchInput {
 public:
  /// Maps the file and reads every line's custom_id. Throws kInvalidValue for two lines of one custom_id, naming both.
  explicit BatchInput(const std::string& path);

  /// Lines that are not blank, in file order.
  const std::vector<BatchLine>& lines() const { return lines_; }
  std::string_view text(const BatchLine& line) const { return file_.text().substr(line.offset, line.length); }
  /// Why a line is not readable.
  std::string problem(const BatchLine& line) const;

 private:
  void refuse_duplicates(const std::string& path) const;

  MappedText file_;
  std::vector<BatchLine> lines_;
};

/// Its "custom_id"; throws ApiError where that is missing, empty or no string.
std::string custom_id_of(const boost::json::object& line);

}  // namespace terrace
