#include "runtime/text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/runtime.h"

namespace terrace::jinja {

struct ExpressionParser::Depth {
  explicit Depth(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxExprHeight) {
      --parser_.depth_;
      fail_at_line(parser_.tokens_.line(), fmt::format("an expression nests more than {} levels deep", kMaxExprHeight));
    }
  }
  ~Depth() { --parser_.depth_; }
  Depth(const Depth&) = delete;

 private:
  ExpressionParser& parser_;
};

ExpressionParser::ExpressionParser(TokenStream& tokens) : tokens_(tokens) {
  for (const char* name : {"loop", "caller", "varargs", "kwargs"}) symbol(name);  // in the order of Symbol
}

int ExpressionParser::symbol(const std::string& name) {
  const auto [it, fresh] = symbols_.emplace(name, static_cast<int>(names_.size()));
  if (fresh) names_.push_back(name);
  return it->second;
}

void ExpressionParser::raise_height(Expr& node, const Expr* child) const {
  if (!child) return;
  node.height = std::max(node.height, child->height + 1);
  if (node.height > kMaxExprHeight) {
    fail_at_line(node.line, fmt::format("an expression nests more than {} levels deep", kMaxExprHeight));
  }
}

void ExpressionParser::raise_height(Expr& node, const ArgumentExprs& arguments) const {
  for (const ExprPtr& argument : arguments.positional) raise_height(node, argument.get());
  for (const auto& [name, argument] : arguments.keyword) raise_height(node, argument.get());
  raise_height(node, arguments.star.get());
  raise_height(node, arguments.double_star.get());
}

template <class T>
ExprPtr ExpressionParser::finish(std::unique_ptr<T> node, std::initializer_list<const Expr*> children) {
  for (const Expr* child : children) raise_height(*node, child);
  return node;
}

ExprPtr ExpressionParser::finish_items(std::unique_ptr<ItemsExpr> node) {
  for (const ExprPtr& item : node->items) raise_height(*node, item.get());
  return node;
}

ExprPtr ExpressionParser::expression(bool with_conditional) { return with_conditional ? conditional() : logic_or(); }

ExprPtr ExpressionParser::conditional() {
  const Depth depth(*this);
  int line = tokens_.line();
  ExprPtr value = logic_or();
  while (tokens_.skip_name("if")) {
    auto node = std::make_unique<ConditionalExpr>(line);
    node->then = std::move(value);
    node->test = logic_or();
    if (tokens_.skip_name("else")) node->otherwise = conditional();
    const std::initializer_list<const Expr*> children = {node->test.get(), node->then.get(), node->otherwise.get()};
    value = finish(std::move(node), children);
    line = tokens_.line();
  }
  return value;
}

ExprPtr ExpressionParser::binary(ExprKind kind, int line, ExprPtr left, ExprPtr right, Arithmetic op) {
  auto node = std::make_unique<BinaryExpr>(kind, line);
  node->op = op;
  node->left = std::move(left);
  node->right = std::move(right);
  raise_height(*node, node->left.get());
  raise_height(*node, node->right.get());
  return node;
}

ExprPtr ExpressionParser::logic_or() {
  const int line = tokens_.line();
  ExprPtr left = logic_and();
  while (tokens_.skip_name("or")) left = binary(ExprKind::kOr, line, std::move(left), logic_and());
  return left;
}

ExprPtr ExpressionParser::logic_and() {
  const int line = tokens_.line();
  ExprPtr left = logic_not();
  while (tokens_.skip_name("and")) left = binary(ExprKind::kAnd, line, std::move(left), logic_not());
  return left;
}

ExprPtr ExpressionParser::logic_not() {
  if (!tokens_.at_name("not")) return comparison();
  const Depth depth(*this);
  auto node = std::make_unique<UnaryExpr>(ExprKind::kNot, tokens_.next().line);
  node->operand = logic_not();
  raise_height(*node, node->operand.get());
  return node;
}

ExprPtr ExpressionParser::comparison() {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kSigns = {{{"==", Comparison::kEq},
                                                                                     {"!=", Comparison::kNe},
                                                                                     {"<", Comparison::kLt},
                                                                                     {"<=", Comparison::kLe},
                                                                                     {">", Comparison::kGt},
                                                                                     {">=", Comparison::kGe}}};
  auto node = std::make_unique<CompareExpr>(tokens_.line());
  node->first = sum();
  while (true) {
    const auto sign = std::find_if(kSigns.begin(), kSigns.end(), [&](auto& s) { return tokens_.at_operator(s.first); });
    Comparison op;
    if (sign != kSigns.end()) {
      op = sign->second;
    } else if (tokens_.at_name("in")) {
      op = Comparison::kIn;
    } else if (tokens_.at_name("not") && TokenStream::is_name(tokens_.ahead(), "in")) {
      op = Comparison::kNotIn;
      tokens_.next();
    } else {
      break;
    }
    tokens_.next();
    node->rest.emplace_back(op, sum());
    raise_height(*node, node->rest.back().second.get());
  }
  if (node->rest.empty()) return std::move(node->first);
  raise_height(*node, node->first.get());
  return node;
}

ExprPtr ExpressionParser::sum() {
  const int line = tokens_.line();
  ExprPtr left = concatenation();
  while (tokens_.at_operator("+") || tokens_.at_operator("-")) {
    const Arithmetic op = tokens_.next().text == "+" ? Arithmetic::kAdd : Arithmetic::kSubtract;
    left = binary(ExprKind::kArithmetic, line, std::move(left), concatenation(), op);
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kConcat, tokens_.line());
  node->items.push_back(product());
  while (tokens_.skip_operator("~")) node->items.push_back(product());
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish_items(std::move(node));
}

ExprPtr ExpressionParser::product() {
  static constexpr std::array<std::pair<std::string_view, Arithmetic>, 4> kSigns = {{{"*", Arithmetic::kMultiply},
                                                                                     {"/", Arithmetic::kDivide},
                                                                                     {"//", Arithmetic::kFloorDivide},
                                                                                     {"%", Arithmetic::kModulo}}};
  const int line = tokens_.line();
  ExprPtr left = power();
  while (true) {
    const auto sign = std::find_if(kSigns.begin(), kSigns.end(), [&](auto& s) { return tokens_.at_operator(s.first); });
    if (sign == kSigns.end()) return left;
    tokens_.next();
    left = binary(ExprKind::kArithmetic, line, std::move(left), power(), sign->second);
  }
}

ExprPtr ExpressionParser::power() {
  const int line = tokens_.line();
  ExprPtr left = unary();
  while (tokens_.skip_operator("**")) {
    left = binary(ExprKind::kArithmetic, line, std::move(left), unary(), Arithmetic::kPower);
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const Depth depth(*this);
  ExprPtr node;
  if (tokens_.at_operator("-") || tokens_.at_operator("+")) {
    const Token& sign = tokens_.next();
    auto operation = std::make_unique<UnaryExpr>(sign.text == "-" ? ExprKind::kNegate : ExprKind::kPlus, sign.line);
    operation->operand = unary(false);
    raise_height(*operation, operation->operand.get());
    node = std::move(operation);
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filter_expression(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::primary(bool with_namespace) {
  const Token& token = tokens_.current();
  switch (token.kind) {
    case TokenKind::kName: return name_expression(with_namespace);
    case TokenKind::kString: return string_expression();
    case TokenKind::kInteger: return std::make_unique<ConstExpr>(token.line, tokens_.next().integer);
    case TokenKind::kFloat: return std::make_unique<ConstExpr>(token.line, tokens_.next().real);
    default: break;
  }
  if (tokens_.skip_operator("(")) {
    ExprPtr inside = tuple({.conditional = true, .empty_allowed = true, .end_name = {}});
    tokens_.expect_operator(")");
    return inside;
  }
  if (tokens_.at_operator("[")) return list_expression();
  if (tokens_.at_operator("{")) return dict_expression();
  tokens_.fail_expected("an expression");
}

ExprPtr ExpressionParser::name_expression(bool with_namespace) {
  const Token& token = tokens_.next();
  const std::string& name = token.text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    return std::make_unique<ConstExpr>(token.line, name == "true" || name == "True");
  }
  if (name == "none" || name == "None") return std::make_unique<ConstExpr>(token.line, None{});
  const int number = symbol(name);
  if (with_namespace && tokens_.skip_operator(".")) {
    auto node = std::make_unique<NamespaceTarget>(token.line);
    node->name = number;
    node->attribute = tokens_.expect(TokenKind::kName, "the name of an attribute").text;
    return node;
  }
  for (MacroNode* macro : macros_) {
    macro->uses_caller |= number == kCallerSymbol;
    macro->uses_varargs |= number == kVarargsSymbol;
    macro->uses_kwargs |= number == kKwargsSymbol;
  }
  return std::make_unique<NameExpr>(token.line, number);
}

// Strings that follow each other are one.
ExprPtr ExpressionParser::string_expression() {
  const int line = tokens_.line();
  std::string text;
  while (tokens_.at(TokenKind::kString)) text += tokens_.next().text;
  return std::make_unique<ConstExpr>(line, make_string(std::move(text)));
}

ExprPtr ExpressionParser::list_expression() {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kList, tokens_.next().line);
  while (!tokens_.at_operator("]")) {
    if (!node->items.empty()) tokens_.expect_operator(",");
    if (tokens_.at_operator("]")) break;
    node->items.push_back(expression());
  }
  tokens_.expect_operator("]");
  return finish_items(std::move(node));
}

ExprPtr ExpressionParser::dict_expression() {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kDict, tokens_.next().line);
  while (!tokens_.at_operator("}")) {
    if (!node->items.empty()) tokens_.expect_operator(",");
    if (tokens_.at_operator("}")) break;
    node->items.push_back(expression());
    tokens_.expect_operator(":");
    node->items.push_back(expression());
  }
  tokens_.expect_operator("}");
  return finish_items(std::move(node));
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  return tokens_.at(TokenKind::kVariableEnd) || tokens_.at(TokenKind::kBlockEnd) || tokens_.at_operator(")") ||
         (!end_name.empty() && tokens_.at_name(end_name));
}

ExprPtr ExpressionParser::tuple(const TupleRule& rule) {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kTuple, tokens_.line());
  bool has_comma = false;
  while (true) {
    if (!node->items.empty()) tokens_.expect_operator(",");
    if (at_tuple_end(rule.end_name)) break;
    node->items.push_back(expression(rule.conditional));
    if (!tokens_.at_operator(",")) break;
    has_comma = true;
  }
  if (!has_comma && !node->items.empty()) return std::move(node->items[0]);
  if (!has_comma && !rule.empty_allowed) tokens_.fail_expected("an expression");
  return finish_items(std::move(node));
}

ExprPtr ExpressionParser::target_part(bool with_namespace) {
  const int line = tokens_.line();
  ExprPtr part = primary(with_namespace);
  const auto is_target = [](const Expr& node, const auto& self) -> bool {
    if (node.kind == ExprKind::kName || node.kind == ExprKind::kNamespaceTarget) return true;
    if (node.kind != ExprKind::kTuple) return false;
    const auto& items = static_cast<const ItemsExpr&>(node).items;
    return std::all_of(items.begin(), items.end(), [&](auto& item) { return self(*item, self); });
  };
  if (!is_target(*part, is_target)) fail_at_line(line, "a value cannot be assigned to this; it needs a name");
  return part;
}

ExprPtr ExpressionParser::target(bool with_namespace, std::string_view end_name) {
  auto node = std::make_unique<ItemsExpr>(ExprKind::kTuple, tokens_.line());
  bool has_comma = false;
  while (true) {
    if (!node->items.empty()) tokens_.expect_operator(",");
    if (at_tuple_end(end_name)) break;
    node->items.push_back(target_part(with_namespace));
    if (!tokens_.at_operator(",")) break;
    has_comma = true;
  }
  if (!has_comma && node->items.empty()) tokens_.fail_expected("a name");
  if (!has_comma) return std::move(node->items[0]);
  return finish_items(std::move(node));
}

}  // namespace terrace::jinja
