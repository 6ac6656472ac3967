#include "runtime/text/jinja/token_stream.h"

#include <fmt/format.h>

#include "runtime/text/jinja/runtime.h"

namespace terrace::jinja {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData: return "text";
    case TokenKind::kVariableBegin: return "'{{'";
    case TokenKind::kVariableEnd: return "'}}'";
    case TokenKind::kBlockBegin: return "'{%'";
    case TokenKind::kBlockEnd: return "'%}'";
    case TokenKind::kString: return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat: return "a number";
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kName:
    case TokenKind::kOperator: break;
  }
  return fmt::format("'{}'", token.text);
}

void TokenStream::fail_expected(std::string_view what) const {
  fail_at_line(line(), fmt::format("{} stands where {} is due", describe(current()), what));
}

const Token& TokenStream::expect(TokenKind kind, std::string_view what) {
  if (!at(kind)) fail_expected(what);
  return next();
}

void TokenStream::expect_operator(std::string_view op) {
  if (!at_operator(op)) fail_expected(fmt::format("'{}'", op));
  next();
}

void TokenStream::expect_name(std::string_view name) {
  if (!at_name(name)) fail_expected(fmt::format("'{}'", name));
  next();
}

}  // namespace terrace::jinja
