// Calls: of functions and methods, macros, and recursive loops.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {

const std::string& macro_name(const Macro& macro) { return macro.node->text_name; }

Arguments Interpreter::evaluate_arguments(const ArgumentExprs& exprs, const ScopePtr& scope) {
  Arguments out;
  out.positional = evaluate_all(exprs.positional, scope);
  for (const auto& [name, expr] : exprs.keyword) out.keyword.emplace_back(name, evaluate(*expr, scope));
  if (exprs.star) {
    const Values more = to_items(rt_, evaluate(*exprs.star, scope));
    out.positional.insert(out.positional.end(), more.begin(), more.end());
  }
  if (exprs.double_star) {
    const Value more = evaluate(*exprs.double_star, scope);
    if (!more.is(Kind::kDict)) rt_.fail(fmt::format("** needs a dict, not a {}", type_name(more)));
    rt_.step(static_cast<std::int64_t>(more.as<const Dict>()->size()));
    for (const auto& [name, value] : more.as<const Dict>()->entries()) {
      if (!name.is_string()) rt_.fail("** needs a dict whose keys are strings");
      if (out.find(name.as_string())) rt_.fail(fmt::format("the argument '{}' is given twice", name.as_string()));
      out.keyword.emplace_back(name.as_string(), value);
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const CallExpr& expr, const ScopePtr& scope, const Value* caller) {
  const Value callee = evaluate(*expr.callee, scope);
  Arguments arguments = evaluate_arguments(expr.arguments, scope);
  if (caller) arguments.keyword.emplace_back("caller", *caller);
  rt_.set_line(expr.line);
  return call(callee, std::move(arguments));
}

Value Interpreter::call(const Value& callee, Arguments arguments) {
  switch (callee.kind()) {
    case Kind::kFunction: return call_function(rt_, *callee.as<const Function>(), std::move(arguments));
    case Kind::kMacro: return call_macro(*callee.as<const Macro>(), std::move(arguments));
    case Kind::kLoop: return call_loop(callee.as<Loop>(), arguments);
    default: break;
  }
  need_defined(rt_, callee);
  rt_.fail(fmt::format("a {} cannot be called", type_name(callee)));
}

Value Interpreter::call_macro(const Macro& macro, Arguments arguments) {
  const Runtime::Nesting nesting(rt_);
  const int line = rt_.line();
  const ScopePtr scope = inner(macro.scope);
  bind_macro(macro, std::move(arguments), scope);
  std::string out;
  run(macro.node->body, scope, out);
  rt_.set_line(line);
  return rt_.string(std::move(out));
}

void Interpreter::bind_macro(const Macro& macro, Arguments arguments, const ScopePtr& scope) {
  const MacroNode& node = *macro.node;
  const std::size_t count = node.parameters.size();
  auto& keyword = arguments.keyword;
  const auto take_keyword = [&](const std::string& name, Value& value) {
    const auto it = std::find_if(keyword.begin(), keyword.end(), [&](auto& k) { return k.first == name; });
    if (it == keyword.end()) return false;
    value = std::move(it->second);
    keyword.erase(it);
    return true;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [symbol, name] = node.parameters[i];
    const std::size_t first_default = count - node.defaults.size();
    Value value;
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (!take_keyword(name, value)) {
      value = i >= first_default ? evaluate(*node.defaults[i - first_default], scope)
                                 : rt_.undefined(fmt::format("parameter '{}' was not provided", name));
    }
    scope->set(symbol, std::move(value));
  }
  const bool has_caller =
      std::any_of(node.parameters.begin(), node.parameters.end(), [](auto& p) { return p.first == kCallerSymbol; });
  if (node.uses_caller && !has_caller) {
    Value caller = rt_.undefined("No caller defined");
    take_keyword("caller", caller);
    scope->set(kCallerSymbol, std::move(caller));
  }
  if (node.uses_kwargs) {
    Dict rest;
    for (auto& [name, value] : keyword) rest.set(rt_.string(name), std::move(value));
    scope->set(kKwargsSymbol, rt_.dict(std::move(rest)));
  } else if (!keyword.empty()) {
    rt_.fail(fmt::format("the macro '{}' takes no argument '{}' by name", node.text_name, keyword[0].first));
  }
  if (node.uses_varargs) {
    const std::size_t used = std::min(count, arguments.positional.size());
    scope->set(kVarargsSymbol, rt_.tuple(Values(arguments.positional.begin() + static_cast<std::ptrdiff_t>(used),
                                                arguments.positional.end())));
  } else if (arguments.positional.size() > count) {
    rt_.fail(
        fmt::format("the macro '{}' takes {} arguments, not {}", node.text_name, count, arguments.positional.size()));
  }
}

Value Interpreter::call_loop(const std::shared_ptr<Loop>& loop, const Arguments& arguments) {
  const Runtime::Nesting nesting(rt_);
  if (!loop->node) rt_.fail("only a loop that is marked 'recursive' can be called");
  if (arguments.positional.size() != 1 || !arguments.keyword.empty())
    rt_.fail("a recursive loop is called with one list");
  std::string out;
  run_for(*loop->node, arguments.positional[0], loop->outside, loop->depth0 + 1, out);
  return rt_.string(std::move(out));
}

}  // namespace terrace::jinja
