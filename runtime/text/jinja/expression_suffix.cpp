// The parts of an expression that follow a value: subscripts, calls, filters, tests.
#include <fmt/format.h>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/expression_parser.h"
#include "runtime/text/jinja/runtime.h"

namespace terrace::jinja {

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    if (tokens_.at_operator(".") || tokens_.at_operator("[")) {
      node = subscript(std::move(node));
    } else if (tokens_.at_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::filter_expression(ExprPtr node) {
  while (true) {
    if (tokens_.at_operator("|")) {
      node = filters(std::move(node));
    } else if (tokens_.at_name("is")) {
      node = test(std::move(node));
    } else if (tokens_.at_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
  const int line = tokens_.line();
  if (tokens_.skip_operator("[")) return subscript_key(std::move(object), line);
  tokens_.expect_operator(".");
  if (tokens_.at(TokenKind::kInteger)) {
    auto node = std::make_unique<ItemExpr>(line);
    node->object = std::move(object);
    node->key = std::make_unique<ConstExpr>(line, tokens_.next().integer);
    raise_height(*node, node->object.get());
    return node;
  }
  auto node = std::make_unique<AttributeExpr>(line);
  node->object = std::move(object);
  node->name = tokens_.expect(TokenKind::kName, "the name of an attribute").text;
  raise_height(*node, node->object.get());
  return node;
}

// What stands between [ and ]: a key, a tuple of keys, or a slice.
ExprPtr ExpressionParser::subscript_key(ExprPtr object, int line) {
  const auto at_bound_end = [&] { return tokens_.at_operator(":") || tokens_.at_operator("]"); };
  ExprPtr first = tokens_.at_operator(":") ? nullptr : expression();
  if (tokens_.skip_operator(":")) {
    auto node = std::make_unique<SliceExpr>(line);
    node->object = std::move(object);
    node->start = std::move(first);
    if (!at_bound_end()) node->stop = expression();
    if (tokens_.skip_operator(":") && !at_bound_end()) node->step = expression();
    tokens_.expect_operator("]");
    for (const ExprPtr* part : {&node->object, &node->start, &node->stop, &node->step})
      raise_height(*node, part->get());
    return node;
  }
  auto node = std::make_unique<ItemExpr>(line);
  node->object = std::move(object);
  if (tokens_.at_operator(",")) {
    auto keys = std::make_unique<ItemsExpr>(ExprKind::kTuple, line);
    keys->items.push_back(std::move(first));
    while (tokens_.skip_operator(",")) keys->items.push_back(expression());
    first = finish_items(std::move(keys));
  }
  tokens_.expect_operator("]");
  node->key = std::move(first);
  raise_height(*node, node->object.get());
  raise_height(*node, node->key.get());
  return node;
}

ArgumentExprs ExpressionParser::arguments() {
  ArgumentExprs out;
  tokens_.expect_operator("(");
  bool first = true;
  while (!tokens_.at_operator(")")) {
    if (!first) {
      tokens_.expect_operator(",");
      if (tokens_.at_operator(")")) break;
    }
    first = false;
    argument(out);
  }
  tokens_.expect_operator(")");
  return out;
}

void ExpressionParser::argument(ArgumentExprs& out) {
  const int line = tokens_.line();
  const bool named =
      tokens_.at(TokenKind::kName) && tokens_.ahead().kind == TokenKind::kOperator && tokens_.ahead().text == "=";
  bool in_order = !out.double_star;
  if (tokens_.skip_operator("*")) {
    in_order = in_order && !out.star;
    out.star = expression();
  } else if (tokens_.skip_operator("**")) {
    out.double_star = expression();
  } else if (named) {
    std::string name = tokens_.next().text;
    tokens_.next();
    for (const auto& [known, value] : out.keyword) {
      if (known == name) fail_at_line(line, fmt::format("the argument '{}' is given twice", name));
    }
    out.keyword.emplace_back(std::move(name), expression());
  } else {
    in_order = in_order && !out.star && out.keyword.empty();
    out.positional.push_back(expression());
  }
  if (!in_order) fail_at_line(line, "the arguments of a call are not in order: positional, *list, named, **dict");
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  auto node = std::make_unique<CallExpr>(tokens_.line());
  node->callee = std::move(callee);
  node->arguments = arguments();
  raise_height(*node, node->callee.get());
  raise_height(*node, node->arguments);
  return node;
}

std::string ExpressionParser::dotted_name() {
  std::string name = tokens_.expect(TokenKind::kName, "a name").text;
  while (tokens_.skip_operator(".")) name += "." + tokens_.expect(TokenKind::kName, "a name").text;
  return name;
}

ExprPtr ExpressionParser::filters(ExprPtr input, bool inline_start) {
  while (inline_start || tokens_.skip_operator("|")) {
    inline_start = false;
    auto node = std::make_unique<BuiltinExpr>(ExprKind::kFilter, tokens_.line());
    node->input = std::move(input);
    node->name = dotted_name();
    node->builtin = find_filter(node->name);
    if (tokens_.at_operator("(")) node->arguments = arguments();
    raise_height(*node, node->input.get());
    raise_height(*node, node->arguments);
    input = std::move(node);
  }
  return input;
}

ExprPtr ExpressionParser::test(ExprPtr input) {
  const int line = tokens_.next().line;  // is
  const bool negated = tokens_.skip_name("not");
  auto node = std::make_unique<BuiltinExpr>(ExprKind::kTest, line);
  node->input = std::move(input);
  node->name = dotted_name();
  node->builtin = find_test(node->name);
  const bool word =
      tokens_.at(TokenKind::kName) && !tokens_.at_name("else") && !tokens_.at_name("or") && !tokens_.at_name("and");
  const bool literal = tokens_.at(TokenKind::kString) || tokens_.at(TokenKind::kInteger) ||
                       tokens_.at(TokenKind::kFloat) || tokens_.at_operator("[") || tokens_.at_operator("{");
  if (tokens_.at_operator("(")) {
    node->arguments = arguments();
  } else if (word || literal) {
    if (tokens_.at_name("is")) fail_at_line(line, "two tests with 'is' need parentheses");
    node->arguments.positional.push_back(postfix(primary()));
  }
  raise_height(*node, node->input.get());
  raise_height(*node, node->arguments);
  if (!negated) return node;
  auto inverse = std::make_unique<UnaryExpr>(ExprKind::kNot, line);
  inverse->operand = std::move(node);
  raise_height(*inverse, inverse->operand.get());
  return inverse;
}

}  // namespace terrace::jinja
