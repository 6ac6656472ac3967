#include "runtime/text/jinja/parser.h"

#include <fmt/format.h>

#include <initializer_list>
#include <string>

#include "runtime/text/jinja/expression_parser.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/token_stream.h"

namespace terrace::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Template run() {
    Template out;
    out.body = body({});
    out.names = expressions_.take_names();
    return out;
  }

 private:
  bool at_any(Names names) const {
    for (const std::string_view name : names) {
      if (tokens_.at_name(name)) return true;
    }
    return false;
  }

  // Statements up to a tag that begins with one of `ends`, at which it stops; with none, up to the end.
  Body body(Names ends) {
    Body out;
    std::unique_ptr<OutputNode> output;
    const auto flush = [&] {
      if (output) out.push_back(std::move(output));
    };
    const auto part = [&](ExprPtr expr) {
      if (!output) output = std::make_unique<OutputNode>(expr->line);
      output->parts.push_back(std::move(expr));
    };
    while (!tokens_.at(TokenKind::kEnd)) {
      const Token& token = tokens_.next();
      if (token.kind == TokenKind::kData) {
        part(std::make_unique<ConstExpr>(token.line, make_string(token.text)));
      } else if (token.kind == TokenKind::kVariableBegin) {
        part(expressions_.tuple());
        tokens_.expect(TokenKind::kVariableEnd, "'}}'");
      } else {
        flush();
        if (at_any(ends)) return out;
        if (StmtPtr node = statement()) out.push_back(std::move(node));
        tokens_.expect(TokenKind::kBlockEnd, "'%}'");
      }
    }
    flush();
    if (ends.size() > 0) fail_at_line(tokens_.line(), fmt::format("the template ends where {} is due", quoted(ends)));
    return out;
  }

  static std::string quoted(Names names) {
    std::string out;
    for (const std::string_view name : names) out += fmt::format("{}{{% {} %}}", out.empty() ? "" : " or ", name);
    return out;
  }

  // The body behind a statement's head, up to one of `ends`.
  Body block(Names ends) {
    tokens_.skip_operator(":");
    tokens_.expect(TokenKind::kBlockEnd, "'%}'");
    return body(ends);
  }

  Body whole_block(std::string_view end) {
    Body out = block({end});
    tokens_.next();
    return out;
  }

  StmtPtr statement() {
    if (++nesting_ > kMaxStmtNesting)
      fail_at_line(tokens_.line(), fmt::format("statements nest more than {} levels deep", kMaxStmtNesting));
    const Token& token = tokens_.expect(TokenKind::kName, "the name of a tag");
    StmtPtr node = statement(token.text, token.line);
    --nesting_;
    return node;
  }

  StmtPtr statement(const std::string& tag, int line) {
    if (tag == "for") return for_statement(line);
    if (tag == "if") return if_statement(line);
    if (tag == "set") return set_statement(line);
    if (tag == "with") return with_statement(line);
    if (tag == "macro") return macro_statement(line);
    if (tag == "call") return call_statement(line);
    if (tag == "filter") return filter_statement(line);
    if (tag == "print") return print_statement(line);
    if (tag == "generation") return generation_statement(line);
    if (tag == "block") return block_statement(line);
    if (tag == "break" || tag == "continue")
      return loop_control(tag == "break" ? StmtKind::kBreak : StmtKind::kContinue, line);
    if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
      fail_at_line(line, fmt::format("{{% {} %}} asks for another template, and a chat template stands alone", tag));
    }
    if (tag == "autoescape") fail_at_line(line, "{% autoescape %} is not supported: a prompt is no HTML");
    fail_at_line(line, fmt::format("the tag '{}' is not known", tag));
  }

  StmtPtr for_statement(int line) {
    auto node = std::make_unique<ForNode>(line);
    node->target = expressions_.target(false, "in");
    forbid_loop_name(*node->target);
    tokens_.expect_name("in");
    node->items = expressions_.tuple({.conditional = false, .empty_allowed = false, .end_name = "recursive"});
    if (tokens_.skip_name("if")) node->test = expressions_.expression();
    node->recursive = tokens_.skip_name("recursive");
    ++loops_;
    node->body = block({"endfor", "else"});
    --loops_;
    if (tokens_.next().text == "else") node->otherwise = whole_block("endfor");
    return node;
  }

  void forbid_loop_name(const Expr& target) {
    if (target.kind == ExprKind::kName && static_cast<const NameExpr&>(target).name == kLoopSymbol) {
      fail_at_line(target.line, "a for statement cannot use the name 'loop' for its items");
    }
    if (target.kind != ExprKind::kTuple) return;
    for (const ExprPtr& item : static_cast<const ItemsExpr&>(target).items) forbid_loop_name(*item);
  }

  StmtPtr if_statement(int line) {
    auto node = std::make_unique<IfNode>(line);
    std::string end;
    do {
      ExprPtr test = expressions_.tuple({.conditional = false, .empty_allowed = false, .end_name = {}});
      Body branch = block({"elif", "else", "endif"});
      node->branches.emplace_back(std::move(test), std::move(branch));
      end = tokens_.next().text;
    } while (end == "elif");
    if (end == "else") node->otherwise = whole_block("endif");
    return node;
  }

  StmtPtr set_statement(int line) {
    ExprPtr target = expressions_.target(true);
    if (tokens_.skip_operator("=")) {
      auto node = std::make_unique<SetNode>(line);
      node->target = std::move(target);
      node->value = expressions_.tuple();
      return node;
    }
    auto node = std::make_unique<SetBlockNode>(line);
    node->target = std::move(target);
    node->filter = expressions_.filters(nullptr);
    node->body = whole_block("endset");
    return node;
  }

  StmtPtr with_statement(int line) {
    auto node = std::make_unique<WithNode>(line);
    while (!tokens_.at(TokenKind::kBlockEnd)) {
      if (!node->variables.empty()) tokens_.expect_operator(",");
      ExprPtr target = expressions_.target(false);
      tokens_.expect_operator("=");
      node->variables.emplace_back(std::move(target), expressions_.expression());
    }
    node->body = whole_block("endwith");
    return node;
  }

  void signature(MacroNode& macro) {
    tokens_.expect_operator("(");
    while (!tokens_.at_operator(")")) {
      if (!macro.parameters.empty()) tokens_.expect_operator(",");
      const Token& name = tokens_.expect(TokenKind::kName, "the name of a parameter");
      for (const auto& parameter : macro.parameters) {
        if (parameter.second == name.text)
          fail_at_line(name.line, fmt::format("the parameter '{}' stands twice", name.text));
      }
      macro.parameters.emplace_back(expressions_.symbol(name.text), name.text);
      if (tokens_.skip_operator("=")) {
        macro.defaults.push_back(expressions_.expression());
      } else if (!macro.defaults.empty()) {
        fail_at_line(name.line,
                     fmt::format("the parameter '{}' without a default follows one with a default", name.text));
      }
    }
    tokens_.expect_operator(")");
  }

  // A macro's body is a function: no break leaves it, and it is told which special names it uses.
  void macro_body(MacroNode& macro, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    expressions_.enter_macro(&macro);
    macro.body = whole_block(end);
    expressions_.leave_macro();
    loops_ = loops;
  }

  StmtPtr macro_statement(int line) {
    auto node = std::make_unique<MacroNode>(line);
    node->text_name = tokens_.expect(TokenKind::kName, "the name of the macro").text;
    node->name = expressions_.symbol(node->text_name);
    signature(*node);
    macro_body(*node, "endmacro");
    return node;
  }

  StmtPtr call_statement(int line) {
    auto node = std::make_unique<CallBlockNode>(line);
    node->caller = std::make_unique<MacroNode>(line);
    node->caller->text_name = "caller";
    if (tokens_.at_operator("(")) signature(*node->caller);
    node->call = expressions_.expression();
    if (node->call->kind != ExprKind::kCall) fail_at_line(line, "{% call %} needs the call of a macro");
    macro_body(*node->caller, "endcall");
    return node;
  }

  StmtPtr filter_statement(int line) {
    auto node = std::make_unique<FilterBlockNode>(line);
    node->filter = expressions_.filters(nullptr, true);
    node->body = whole_block("endfilter");
    return node;
  }

  StmtPtr print_statement(int line) {
    auto node = std::make_unique<OutputNode>(line);
    while (!tokens_.at(TokenKind::kBlockEnd)) {
      if (!node->parts.empty()) tokens_.expect_operator(",");
      node->parts.push_back(expressions_.expression());
    }
    return node;
  }

  // Marks what the model wrote, for training; here it is only a scope.
  StmtPtr generation_statement(int line) {
    auto node = std::make_unique<ScopeNode>(line);
    const int loops = std::exchange(loops_, 0);
    node->body = whole_block("endgeneration");
    loops_ = loops;
    return node;
  }

  // Without inheritance a block stands where it is written.
  StmtPtr block_statement(int line) {
    auto node = std::make_unique<ScopeNode>(line);
    const std::string name = tokens_.expect(TokenKind::kName, "the name of the block").text;
    tokens_.skip_name("scoped");
    const int loops = std::exchange(loops_, 0);
    node->body = whole_block("endblock");
    loops_ = loops;
    tokens_.skip_name(name);
    return node;
  }

  StmtPtr loop_control(StmtKind kind, int line) {
    if (loops_ == 0) fail_at_line(line, "break and continue belong in a for statement");
    return std::make_unique<Stmt>(kind, line);
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;  // the for statements around, within one macro
};

}  // namespace

Template parse_template(std::string_view source) { return StatementParser(source).run(); }

}  // namespace terrace::jinja
