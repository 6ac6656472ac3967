// Turns tokens that arrive one by one into text that never ends in half a character. One per sequence, not shared.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/tokenizer.h"

namespace terrace {

class StreamDecoder {
 public:
  /// `at_start` false: the text continues another, so the space that SentencePiece puts before a first word stays.
  /// Control tokens give no text, but for those `shown`.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool at_start = true, std::vector<int32_t> shown = {})
      : tokenizer_(tokenizer), at_start_(at_start), shown_(std::move(shown)) {}
  /// The text that `token` completes; "" while a character is incomplete. Bytes that can never become UTF-8 are U+FFFD each.
  std::string push(int32_t token);
  /// What is left at the end: incomplete bytes as U+FFFD.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool at_start_;
  std::vector<int32_t> shown_;
  std::string pending_;
};

}  // namespace terrace
