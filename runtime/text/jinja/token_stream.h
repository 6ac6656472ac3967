// The tokens of a template as the parser reads them, one ahead. Pure bookkeeping.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/lexer.h"

namespace terrace::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }
  const Token& next() {  // the current token, which is passed (but for the end)
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_name(std::string_view name) const { return is_name(current(), name); }
  bool at_operator(std::string_view op) const { return at(TokenKind::kOperator) && current().text == op; }
  static bool is_name(const Token& token, std::string_view name) {
    return token.kind == TokenKind::kName && token.text == name;
  }

  bool skip_name(std::string_view name) { return at_name(name) && (next(), true); }
  bool skip_operator(std::string_view op) { return at_operator(op) && (next(), true); }

  const Token& expect(TokenKind kind, std::string_view what);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  [[noreturn]] void fail_expected(std::string_view what) const;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

// "'if'", "the end of the template", ...
std::string describe(const Token& token);

}  // namespace terrace::jinja
