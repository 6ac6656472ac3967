// One token of look-ahead over the lexer, and errors that say where. Used by the parsers of this folder.
#pragma once

#include <fmt/core.h>

#include <string_view>

#include "tests/cudasim/ptx/lexer.h"
#include "tests/cudasim/ptx/module.h"

namespace cudasim::ptx {

class TokenReader {
 public:
  TokenReader(const Module& module, Lexer::Place place) : path_(module.path), lexer_(module.text) {
    lexer_.seek(place);
    advance();
  }

  const Token& token() const { return token_; }
  Lexer& lexer() { return lexer_; }
  void advance() { token_ = lexer_.next(); }
  bool accept(std::string_view text);
  void expect(std::string_view text);
  std::string_view word();
  /// An integer or a 0f/0d float's bits, with its sign.
  int64_t number();
  [[noreturn]] void fail(std::string_view what) const;

  /// [.align N] .TYPE NAME[N] [= {..}], from the alignment on; up to, not past, what follows.
  Variable variable(Space space);

 private:
  void initializer(Variable& variable, int element_bytes);

  const std::string& path_;
  Lexer lexer_;
  Token token_;
};

uint64_t align_up(uint64_t value, uint64_t alignment);

}  // namespace cudasim::ptx
