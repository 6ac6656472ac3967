// Expressions.
#include <fmt/format.h>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {

Value Interpreter::evaluate(const Expr& expr, const ScopePtr& scope) {
  rt_.step();
  if (expr.kind == ExprKind::kConst) return static_cast<const ConstExpr&>(expr).value;
  if (expr.kind == ExprKind::kName) return evaluate_name(static_cast<const NameExpr&>(expr), scope);
  const Runtime::Nesting nesting(rt_);
  rt_.set_line(expr.line);
  switch (expr.kind) {
    case ExprKind::kList: return rt_.list(evaluate_all(static_cast<const ItemsExpr&>(expr).items, scope));
    case ExprKind::kTuple: return rt_.tuple(evaluate_all(static_cast<const ItemsExpr&>(expr).items, scope));
    case ExprKind::kDict: return evaluate_dict(static_cast<const ItemsExpr&>(expr), scope);
    case ExprKind::kAttribute: {
      const auto& node = static_cast<const AttributeExpr&>(expr);
      return get_attribute(rt_, evaluate(*node.object, scope), node.name);
    }
    case ExprKind::kItem: {
      const auto& node = static_cast<const ItemExpr&>(expr);
      const Value object = evaluate(*node.object, scope);
      return get_item(rt_, object, evaluate(*node.key, scope));
    }
    case ExprKind::kSlice: return evaluate_slice(static_cast<const SliceExpr&>(expr), scope);
    case ExprKind::kCall: return evaluate_call(static_cast<const CallExpr&>(expr), scope);
    case ExprKind::kFilter:
    case ExprKind::kTest: {
      const auto& node = static_cast<const BuiltinExpr&>(expr);
      return evaluate_builtin(node, evaluate(*node.input, scope), scope);
    }
    case ExprKind::kNegate:
    case ExprKind::kPlus:
    case ExprKind::kNot: return evaluate_unary(static_cast<const UnaryExpr&>(expr), scope);
    case ExprKind::kArithmetic:
    case ExprKind::kAnd:
    case ExprKind::kOr: return evaluate_binary(static_cast<const BinaryExpr&>(expr), scope);
    case ExprKind::kCompare: return evaluate_compare(static_cast<const CompareExpr&>(expr), scope);
    case ExprKind::kConcat: return evaluate_concat(static_cast<const ItemsExpr&>(expr), scope);
    case ExprKind::kConditional: return evaluate_conditional(static_cast<const ConditionalExpr&>(expr), scope);
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceTarget: break;
  }
  rt_.fail("an assignment target stands where a value is due");
}

Value Interpreter::evaluate_name(const NameExpr& expr, const ScopePtr& scope) {
  if (const Value* value = scope->find(expr.name)) return *value;
  return rt_.undefined(fmt::format("'{}' is undefined", tree_.names[static_cast<std::size_t>(expr.name)]));
}

Values Interpreter::evaluate_all(const std::vector<ExprPtr>& exprs, const ScopePtr& scope) {
  Values out;
  out.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) out.push_back(evaluate(*expr, scope));
  return out;
}

Value Interpreter::evaluate_dict(const ItemsExpr& expr, const ScopePtr& scope) {
  Dict dict;
  for (std::size_t i = 0; i < expr.items.size(); i += 2) {
    Value key = evaluate(*expr.items[i], scope);
    rt_.set(dict, std::move(key), evaluate(*expr.items[i + 1], scope));
  }
  return rt_.dict(std::move(dict));
}

Value Interpreter::evaluate_slice(const SliceExpr& expr, const ScopePtr& scope) {
  const auto bound = [&](const ExprPtr& part) { return part ? evaluate(*part, scope) : Value(); };
  const Value object = evaluate(*expr.object, scope);
  const Value start = bound(expr.start), stop = bound(expr.stop), step = bound(expr.step);
  return get_slice(rt_, object, start, stop, step);
}

Value Interpreter::evaluate_builtin(const BuiltinExpr& expr, const Value& input, const ScopePtr& scope) {
  if (!expr.builtin) {
    rt_.fail(fmt::format("the {} '{}' is not known", expr.kind == ExprKind::kFilter ? "filter" : "test", expr.name));
  }
  Arguments arguments = evaluate_arguments(expr.arguments, scope);
  rt_.set_line(expr.line);
  return call_builtin(rt_, *expr.builtin, input, std::move(arguments));
}

Value Interpreter::filter_text(const Expr& chain, Value text, const ScopePtr& scope) {
  const Runtime::Nesting nesting(rt_);
  const auto& node = static_cast<const BuiltinExpr&>(chain);
  const Value input = node.input ? filter_text(*node.input, std::move(text), scope) : std::move(text);
  return evaluate_builtin(node, input, scope);
}

Value Interpreter::evaluate_unary(const UnaryExpr& expr, const ScopePtr& scope) {
  const Value operand = evaluate(*expr.operand, scope);
  if (expr.kind == ExprKind::kNot) return !is_true(operand);
  return expr.kind == ExprKind::kNegate ? negate(rt_, operand) : plus(rt_, operand);
}

Value Interpreter::evaluate_binary(const BinaryExpr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.left, scope);
  if (expr.kind == ExprKind::kAnd) return is_true(left) ? evaluate(*expr.right, scope) : left;
  if (expr.kind == ExprKind::kOr) return is_true(left) ? left : evaluate(*expr.right, scope);
  return arithmetic(rt_, expr.op, left, evaluate(*expr.right, scope));
}

Value Interpreter::evaluate_compare(const CompareExpr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.first, scope);
  for (const auto& [op, operand] : expr.rest) {
    Value right = evaluate(*operand, scope);
    if (!compare(rt_, op, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::evaluate_concat(const ItemsExpr& expr, const ScopePtr& scope) {
  std::string out;
  for (const ExprPtr& item : expr.items) append(out, evaluate(*item, scope));
  return rt_.string(std::move(out));
}

Value Interpreter::evaluate_conditional(const ConditionalExpr& expr, const ScopePtr& scope) {
  if (is_true(evaluate(*expr.test, scope))) return evaluate(*expr.then, scope);
  if (expr.otherwise) return evaluate(*expr.otherwise, scope);
  return rt_.undefined("the inline if is false and has no else");
}

}  // namespace terrace::jinja
