// Cuts the text of a .ptx file into tokens. Owns nothing: tokens point into the text. Used by the parser alone.
// Words keep their dots ("ld.global.v4.u32", "%tid.x", ".reg.b32"), so that an opcode is one token.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cudasim::ptx {

/// What the reader can't make sense of: names the file and line.
struct PtxError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Token {
  enum class Kind { kWord, kNumber, kString, kPunctuation, kEnd };
  Kind kind = Kind::kEnd;
  std::string_view text;
  int line = 0;

  bool is(std::string_view wanted) const { return text == wanted && kind != Kind::kString; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token next();
  /// Where the next token is looked for; seek() goes back to such a place.
  struct Place {
    size_t offset = 0;
    int line = 1;
  };
  Place place() const { return {offset_, line_}; }
  void seek(Place place) { offset_ = place.offset, line_ = place.line; }
  void skip_line();
  /// Goes past the '}' that closes the '{' just read.
  void skip_braces();

 private:
  void skip_space();
  char at(size_t offset) const { return offset < text_.size() ? text_[offset] : '\0'; }

  std::string_view text_;
  size_t offset_ = 0;
  int line_ = 1;
};

}  // namespace cudasim::ptx
