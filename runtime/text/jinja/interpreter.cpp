// Statements. Expressions are in evaluate.cpp, calls of macros and loops in macro_call.cpp.
#include "runtime/text/jinja/interpreter.h"

#include <fmt/format.h>

#include "runtime/text/jinja/print.h"

namespace terrace::jinja {

std::string Interpreter::render(const Dict& variables) {
  const auto globals = std::make_shared<Scope>();
  for (std::size_t i = 0; i < tree_.names.size(); ++i) {
    const Value* given = variables.find(tree_.names[i]);
    Value value = given ? *given : find_global(tree_.names[i]);
    if (given || !value.is_none()) globals->set(static_cast<int>(i), std::move(value));
  }
  std::string out;
  run(tree_.body, inner(globals), out);
  return out;
}

Interpreter::ScopePtr Interpreter::inner(const ScopePtr& scope) {
  rt_.step();
  return std::make_shared<Scope>(scope);
}

void Interpreter::append(std::string& out, const Value& value) {
  append_text(rt_, out, value);
  if (out.size() > rt_.limits().max_text) rt_.reserve_text(out.size());  // fails with its sentence
}

Interpreter::Flow Interpreter::run(const Body& body, const ScopePtr& scope, std::string& out) {
  const Runtime::Nesting nesting(rt_);
  for (const StmtPtr& statement : body) {
    const Flow flow = run(*statement, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Stmt& statement, const ScopePtr& scope, std::string& out) {
  rt_.step();
  rt_.set_line(statement.line);
  switch (statement.kind) {
    case StmtKind::kOutput: run_output(static_cast<const OutputNode&>(statement), scope, out); return Flow::kNext;
    case StmtKind::kFor: {
      const auto& node = static_cast<const ForNode&>(statement);
      return run_for(node, evaluate(*node.items, scope), scope, 0, out);
    }
    case StmtKind::kIf: return run_if(static_cast<const IfNode&>(statement), scope, out);
    case StmtKind::kSet: {
      const auto& node = static_cast<const SetNode&>(statement);
      assign(*node.target, evaluate(*node.value, scope), scope);
      return Flow::kNext;
    }
    case StmtKind::kSetBlock: return run_set_block(static_cast<const SetBlockNode&>(statement), scope);
    case StmtKind::kWith: return run_with(static_cast<const WithNode&>(statement), scope, out);
    case StmtKind::kMacro: {
      const auto& node = static_cast<const MacroNode&>(statement);
      scope->set(node.name, make_macro(node, scope));
      return Flow::kNext;
    }
    case StmtKind::kCallBlock:
      run_call_block(static_cast<const CallBlockNode&>(statement), scope, out);
      return Flow::kNext;
    case StmtKind::kFilterBlock: return run_filter_block(static_cast<const FilterBlockNode&>(statement), scope, out);
    case StmtKind::kScope: return run(static_cast<const ScopeNode&>(statement).body, inner(scope), out);
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

void Interpreter::run_output(const OutputNode& node, const ScopePtr& scope, std::string& out) {
  for (const ExprPtr& part : node.parts) append(out, evaluate(*part, scope));
}

Values Interpreter::keep_passing(const ForNode& node, Values items, const ScopePtr& scope) {
  if (!node.test) return items;
  Values kept;
  for (Value& item : items) {
    const ScopePtr round = inner(scope);
    assign(*node.target, item, round);
    if (is_true(evaluate(*node.test, round))) kept.push_back(std::move(item));
  }
  return kept;
}

Interpreter::Flow Interpreter::run_for(const ForNode& node, const Value& source, const ScopePtr& scope, int depth0,
                                       std::string& out) {
  const auto loop = std::make_shared<Loop>();
  loop->items = keep_passing(node, to_items(rt_, source), scope);
  for (const Value& item : loop->items) loop->extent.hold(item);
  if (loop->extent.depth > kMaxNesting) rt_.fail(fmt::format("values nest more than {} levels deep", kMaxNesting));
  loop->depth0 = depth0;
  if (node.recursive) {
    loop->node = &node;
    loop->outside = scope;
  }
  for (std::size_t i = 0; i < loop->items.size(); ++i) {
    loop->index0 = i;
    const ScopePtr round = inner(scope);
    round->set(kLoopSymbol, loop);
    assign(*node.target, loop->items[i], round);
    if (run(node.body, round, out) == Flow::kBreak) return Flow::kNext;
  }
  // The else branch is a scope of its own, outside of the loop: its break or continue is the outer loop's.
  return loop->items.empty() ? run(node.otherwise, inner(scope), out) : Flow::kNext;
}

Interpreter::Flow Interpreter::run_if(const IfNode& node, const ScopePtr& scope, std::string& out) {
  for (const auto& [test, body] : node.branches) {
    if (is_true(evaluate(*test, scope))) return run(body, scope, out);
  }
  return run(node.otherwise, scope, out);
}

Interpreter::Flow Interpreter::run_set_block(const SetBlockNode& node, const ScopePtr& scope) {
  std::string text;
  const Flow flow = run(node.body, inner(scope), text);
  if (flow != Flow::kNext) return flow;
  Value value = rt_.string(std::move(text));
  assign(*node.target, node.filter ? filter_text(*node.filter, std::move(value), scope) : value, scope);
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_with(const WithNode& node, const ScopePtr& scope, std::string& out) {
  const ScopePtr body_scope = inner(scope);
  for (const auto& [target, value] : node.variables) assign(*target, evaluate(*value, scope), body_scope);
  return run(node.body, body_scope, out);
}

Interpreter::Flow Interpreter::run_filter_block(const FilterBlockNode& node, const ScopePtr& scope, std::string& out) {
  std::string text;
  const Flow flow = run(node.body, inner(scope), text);
  if (flow != Flow::kNext) return flow;
  append(out, filter_text(*node.filter, rt_.string(std::move(text)), scope));
  return Flow::kNext;
}

void Interpreter::run_call_block(const CallBlockNode& node, const ScopePtr& scope, std::string& out) {
  const Value caller = make_macro(*node.caller, scope);
  append(out, evaluate_call(static_cast<const CallExpr&>(*node.call), scope, &caller));
}

Value Interpreter::make_macro(const MacroNode& node, const ScopePtr& scope) {
  if (scope->begin_capture()) rt_.keep(scope);
  rt_.reserve(sizeof(Macro) + sizeof(Scope));
  return std::shared_ptr<const Macro>(std::make_shared<Macro>(Macro{&node, scope}));
}

void Interpreter::assign(const Expr& target, const Value& value, const ScopePtr& scope) {
  if (target.kind == ExprKind::kName) {
    scope->set(static_cast<const NameExpr&>(target).name, value);
    return;
  }
  if (target.kind == ExprKind::kNamespaceTarget) {
    const auto& node = static_cast<const NamespaceTarget&>(target);
    const Value* space = scope->find(node.name);
    if (!space || !space->is(Kind::kNamespace)) {
      rt_.fail(fmt::format("'{}' is no namespace, so its attribute '{}' cannot be set",
                           tree_.names[static_cast<std::size_t>(node.name)], node.attribute));
    }
    if (node.attribute.starts_with('_')) rt_.fail("an attribute of a namespace cannot begin with an underscore");
    space->as<Namespace>()->set(node.attribute, value);
    return;
  }
  const auto& targets = static_cast<const ItemsExpr&>(target).items;
  if (value.is_undefined() || !is_iterable(value)) rt_.fail(fmt::format("a {} cannot be unpacked", type_name(value)));
  const Values items = to_items(rt_, value);
  if (items.size() != targets.size()) {
    rt_.fail(fmt::format("{} values cannot be unpacked to {} names", items.size(), targets.size()));
  }
  for (std::size_t i = 0; i < items.size(); ++i) assign(*targets[i], items[i], scope);
}

}  // namespace terrace::jinja
