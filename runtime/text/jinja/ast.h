// The syntax tree of a template: expressions and statements. Made by the parser, constant afterwards: any thread reads
// it. Names of variables are symbol numbers, filters and tests are looked up once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

struct Builtin;

enum class ExprKind : std::uint8_t {
  kConst,
  kName,
  kList,
  kTuple,
  kDict,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kNegate,
  kPlus,
  kNot,
  kArithmetic,
  kAnd,
  kOr,
  kCompare,
  kConcat,
  kConditional,
  kNamespaceTarget,
};

struct Expr {
  ExprKind kind;
  int line;
  int height = 1;  // of the tree below; bounded by the parser, so that walks may recurse
  Expr(ExprKind k, int l) : kind(k), line(l) {}
  virtual ~Expr() = default;
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstExpr : Expr {
  Value value;
  ConstExpr(int l, Value v) : Expr(ExprKind::kConst, l), value(std::move(v)) {}
};

struct NameExpr : Expr {
  int name;
  NameExpr(int l, int n) : Expr(ExprKind::kName, l), name(n) {}
};

struct ItemsExpr : Expr {  // kList, kTuple, kConcat; kDict: key, value, key, value, ...
  std::vector<ExprPtr> items;
  using Expr::Expr;
};

struct AttributeExpr : Expr {
  ExprPtr object;
  std::string name;
  explicit AttributeExpr(int l) : Expr(ExprKind::kAttribute, l) {}
};

struct ItemExpr : Expr {
  ExprPtr object, key;
  explicit ItemExpr(int l) : Expr(ExprKind::kItem, l) {}
};

struct SliceExpr : Expr {
  ExprPtr object, start, stop, step;  // the bounds may be null
  explicit SliceExpr(int l) : Expr(ExprKind::kSlice, l) {}
};

struct ArgumentExprs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr star, double_star;  // *list, **dict; may be null
};

struct CallExpr : Expr {
  ExprPtr callee;
  ArgumentExprs arguments;
  explicit CallExpr(int l) : Expr(ExprKind::kCall, l) {}
};

struct BuiltinExpr : Expr {  // kFilter, kTest
  ExprPtr input;             // null in a filter block: the block's text
  std::string name;
  const Builtin* builtin = nullptr;  // null where no such filter or test exists: an error once it is reached
  ArgumentExprs arguments;
  using Expr::Expr;
};

struct UnaryExpr : Expr {  // kNegate, kPlus, kNot
  ExprPtr operand;
  using Expr::Expr;
};

struct BinaryExpr : Expr {  // kArithmetic, kAnd, kOr
  Arithmetic op = Arithmetic::kAdd;
  ExprPtr left, right;
  using Expr::Expr;
};

struct CompareExpr : Expr {  // a < b < c: each once
  ExprPtr first;
  std::vector<std::pair<Comparison, ExprPtr>> rest;
  explicit CompareExpr(int l) : Expr(ExprKind::kCompare, l) {}
};

struct ConditionalExpr : Expr {
  ExprPtr test, then, otherwise;  // otherwise may be null
  explicit ConditionalExpr(int l) : Expr(ExprKind::kConditional, l) {}
};

struct NamespaceTarget : Expr {  // ns.attribute on the left of a set
  int name;
  std::string attribute;
  explicit NamespaceTarget(int l) : Expr(ExprKind::kNamespaceTarget, l) {}
};

enum class StmtKind : std::uint8_t {
  kOutput,
  kFor,
  kIf,
  kSet,
  kSetBlock,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kScope,
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind;
  int line;
  Stmt(StmtKind k, int l) : kind(k), line(l) {}
  virtual ~Stmt() = default;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct OutputNode : Stmt {  // data and {{ }}, in order
  std::vector<ExprPtr> parts;
  explicit OutputNode(int l) : Stmt(StmtKind::kOutput, l) {}
};

struct ForNode : Stmt {
  ExprPtr target;  // name, or tuple of names
  ExprPtr items;
  ExprPtr test;  // may be null
  bool recursive = false;
  Body body, otherwise;
  explicit ForNode(int l) : Stmt(StmtKind::kFor, l) {}
};

struct IfNode : Stmt {
  std::vector<std::pair<ExprPtr, Body>> branches;  // if, elif, ...
  Body otherwise;
  explicit IfNode(int l) : Stmt(StmtKind::kIf, l) {}
};

struct SetNode : Stmt {
  ExprPtr target, value;
  explicit SetNode(int l) : Stmt(StmtKind::kSet, l) {}
};

struct SetBlockNode : Stmt {
  ExprPtr target;
  ExprPtr filter;  // a chain of kFilter that ends in the block's text; may be null
  Body body;
  explicit SetBlockNode(int l) : Stmt(StmtKind::kSetBlock, l) {}
};

struct WithNode : Stmt {
  std::vector<std::pair<ExprPtr, ExprPtr>> variables;  // target, value
  Body body;
  explicit WithNode(int l) : Stmt(StmtKind::kWith, l) {}
};

struct MacroNode : Stmt {  // also the `caller` of a call block
  int name = -1;
  std::string text_name;
  std::vector<std::pair<int, std::string>> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  Body body;
  explicit MacroNode(int l) : Stmt(StmtKind::kMacro, l) {}
};

struct CallBlockNode : Stmt {
  std::unique_ptr<MacroNode> caller;
  ExprPtr call;  // a CallExpr
  explicit CallBlockNode(int l) : Stmt(StmtKind::kCallBlock, l) {}
};

struct FilterBlockNode : Stmt {
  ExprPtr filter;
  Body body;
  explicit FilterBlockNode(int l) : Stmt(StmtKind::kFilterBlock, l) {}
};

struct ScopeNode : Stmt {  // {% generation %} and {% block %}
  Body body;
  explicit ScopeNode(int l) : Stmt(StmtKind::kScope, l) {}
};

struct Template {
  Body body;
  std::vector<std::string> names;  // by symbol number
};

// The symbols that mean something to the interpreter itself; the parser makes them first, in this order.
enum Symbol : int { kLoopSymbol, kCallerSymbol, kVarargsSymbol, kKwargsSymbol, kFirstFreeSymbol };

}  // namespace terrace::jinja
