// Cuts a stream of text at the first stop string, holding back what may still become one. One per sequence, not shared.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace terrace {

class StopMatcher {
 public:
  /// Empty strings among `stops` are ignored.
  explicit StopMatcher(std::vector<std::string> stops);
  /// The text that is now certain to come before any stop string.
  std::string push(std::string_view text);
  /// What was held back, at the end of the stream.
  std::string finish();
  /// A stop string was met: nothing more comes.
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace terrace
