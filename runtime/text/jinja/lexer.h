// Template source to tokens, with jinja2's white space rules for trim_blocks=True, lstrip_blocks=True. Pure function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace terrace::jinja {

enum class TokenKind : std::uint8_t {
  kData,
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // of data, name, string (unescaped), operator
  std::int64_t integer = 0;
  double real = 0;
};

// `source` is valid UTF-8. Throws kInvalidValue with the line. The last token is kEnd.
std::vector<Token> tokenize(std::string_view source);

}  // namespace terrace::jinja
