// Parses expressions and assignment targets; the statement parser (parser.cpp) drives it. One template, one thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/token_stream.h"

namespace terrace::jinja {

// Bounds that let every later walk of the tree recurse.
constexpr int kMaxExprHeight = 300;
constexpr int kMaxStmtNesting = 100;

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens);

  struct TupleRule {
    bool conditional = true;  // may hold `a if b else c`
    bool empty_allowed = false;
    std::string_view end_name;  // a name that ends it, as `in` does in for
  };

  ExprPtr expression(bool conditional = true);
  ExprPtr tuple(const TupleRule& rule);
  ExprPtr tuple() { return tuple(TupleRule{}); }
  ExprPtr target(bool with_namespace, std::string_view end_name = {});
  // `input` | name(...) | ...; a null input stands for the text of a block. `inline_start`: the first has no '|'.
  ExprPtr filters(ExprPtr input, bool inline_start = false);

  int symbol(const std::string& name);
  std::vector<std::string> take_names() { return std::move(names_); }

  // The macros being parsed: told when their body names caller, varargs or kwargs.
  void enter_macro(MacroNode* macro) { macros_.push_back(macro); }
  void leave_macro() { macros_.pop_back(); }

 private:
  struct Depth;  // guards the recursion of the parser itself

  ExprPtr conditional();
  ExprPtr logic_or();
  ExprPtr logic_and();
  ExprPtr logic_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary(bool with_namespace = false);
  ExprPtr name_expression(bool with_namespace);
  ExprPtr string_expression();
  ExprPtr list_expression();
  ExprPtr dict_expression();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filter_expression(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscript_key(ExprPtr node, int line);
  ExprPtr call(ExprPtr node);
  ExprPtr test(ExprPtr node);
  ArgumentExprs arguments();
  void argument(ArgumentExprs& out);
  std::string dotted_name();
  bool at_tuple_end(std::string_view end_name) const;
  ExprPtr target_part(bool with_namespace);
  ExprPtr binary(ExprKind kind, int line, ExprPtr left, ExprPtr right, Arithmetic op = Arithmetic::kAdd);
  template <class T>
  ExprPtr finish(std::unique_ptr<T> node, std::initializer_list<const Expr*> children);
  ExprPtr finish_items(std::unique_ptr<ItemsExpr> node);
  void raise_height(Expr& node, const Expr* child) const;
  void raise_height(Expr& node, const ArgumentExprs& arguments) const;

  TokenStream& tokens_;
  int depth_ = 0;
  std::vector<std::string> names_;
  std::unordered_map<std::string, int> symbols_;
  std::vector<MacroNode*> macros_;
};

}  // namespace terrace::jinja
