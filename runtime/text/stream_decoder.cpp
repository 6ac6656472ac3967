#include "runtime/text/stream_decoder.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"

namespace terrace {

std::string StreamDecoder::push(int32_t token) {
  const bool special = std::ranges::find(shown_, token) != shown_.end();
  const std::string bytes = tokenizer_.token_bytes(token, special);
  pending_ += at_start_ ? tokenizer_.decode({&token, 1}, special)
                        : bytes;  // decode knows of the space that families put at the start
  if (!bytes.empty()) at_start_ = false;

  size_t whole = 0;  // bytes before a character that may yet be completed
  while (whole < pending_.size()) {
    const Utf8Char c = utf8_at(pending_, whole);
    if (c.state == Utf8State::kIncomplete) break;
    whole += c.length;
  }
  std::string text = to_valid_utf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string StreamDecoder::finish() { return to_valid_utf8(std::exchange(pending_, {})); }

}  // namespace terrace
