// Runs a syntax tree: statements append to a text, expressions give values. One render, one thread; the tree and the
// variables are not changed.
#pragma once

#include <memory>
#include <string>

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/loop.h"
#include "runtime/text/jinja/macro.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/scope.h"

namespace terrace::jinja {

class Interpreter {
 public:
  // Both outlive the interpreter.
  Interpreter(const Template& tree, Runtime& rt) : tree_(tree), rt_(rt) {}

  // Throws kInvalidValue with the line for whatever jinja2 would raise, and for a limit that is passed.
  std::string render(const Dict& variables);

 private:
  using ScopePtr = std::shared_ptr<Scope>;
  enum class Flow { kNext, kBreak, kContinue };

  ScopePtr inner(const ScopePtr& scope);
  Flow run(const Body& body, const ScopePtr& scope, std::string& out);
  Flow run(const Stmt& statement, const ScopePtr& scope, std::string& out);
  void run_output(const OutputNode& node, const ScopePtr& scope, std::string& out);
  Flow run_for(const ForNode& node, const Value& source, const ScopePtr& scope, int depth0, std::string& out);
  Flow run_if(const IfNode& node, const ScopePtr& scope, std::string& out);
  Flow run_set_block(const SetBlockNode& node, const ScopePtr& scope);
  Flow run_with(const WithNode& node, const ScopePtr& scope, std::string& out);
  Flow run_filter_block(const FilterBlockNode& node, const ScopePtr& scope, std::string& out);
  void run_call_block(const CallBlockNode& node, const ScopePtr& scope, std::string& out);
  Value make_macro(const MacroNode& node, const ScopePtr& scope);
  Values keep_passing(const ForNode& node, Values items, const ScopePtr& scope);
  void assign(const Expr& target, const Value& value, const ScopePtr& scope);
  void append(std::string& out, const Value& value);

  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value evaluate_name(const NameExpr& expr, const ScopePtr& scope);
  Value evaluate_dict(const ItemsExpr& expr, const ScopePtr& scope);
  Value evaluate_slice(const SliceExpr& expr, const ScopePtr& scope);
  Value evaluate_builtin(const BuiltinExpr& expr, const Value& input, const ScopePtr& scope);
  Value evaluate_unary(const UnaryExpr& expr, const ScopePtr& scope);
  Value evaluate_binary(const BinaryExpr& expr, const ScopePtr& scope);
  Value evaluate_compare(const CompareExpr& expr, const ScopePtr& scope);
  Value evaluate_concat(const ItemsExpr& expr, const ScopePtr& scope);
  Value evaluate_conditional(const ConditionalExpr& expr, const ScopePtr& scope);
  Values evaluate_all(const std::vector<ExprPtr>& exprs, const ScopePtr& scope);
  // A chain of filters that ends in the text of a block.
  Value filter_text(const Expr& chain, Value text, const ScopePtr& scope);

  Arguments evaluate_arguments(const ArgumentExprs& exprs, const ScopePtr& scope);
  Value evaluate_call(const CallExpr& expr, const ScopePtr& scope, const Value* caller = nullptr);
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const Macro& macro, Arguments arguments);
  void bind_macro(const Macro& macro, Arguments arguments, const ScopePtr& scope);
  Value call_loop(const std::shared_ptr<Loop>& loop, const Arguments& arguments);

  const Template& tree_;
  Runtime& rt_;
};

}  // namespace terrace::jinja
