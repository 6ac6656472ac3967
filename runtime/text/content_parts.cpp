#include "runtime/text/content_parts.h"

#include <set>
#include <string_view>

namespace terrace {
namespace {

using namespace jinja;

class PartsFinder {
 public:
  explicit PartsFinder(const Template& tree) : tree_(tree) {
    for (std::size_t i = 0; i < tree.names.size(); ++i) {
      if (tree.names[i] == "content") aliases_.insert(static_cast<int>(i));
    }
  }

  bool run() {
    visit(tree_.body);
    return found_;
  }

 private:
  static bool is_text(const Expr& expr, std::string_view text) {
    if (expr.kind != ExprKind::kConst) return false;
    const Value& value = static_cast<const ConstExpr&>(expr).value;
    return value.is_string() && value.as_string() == text;
  }

  static bool names(const Expr& expr, std::string_view name) {  // x.name or x['name']
    if (expr.kind == ExprKind::kAttribute) return static_cast<const AttributeExpr&>(expr).name == name;
    return expr.kind == ExprKind::kItem && is_text(*static_cast<const ItemExpr&>(expr).key, name);
  }

  static bool gets_content(const CallExpr& call) {  // x.get('content', ...)
    const auto& arguments = call.arguments.positional;
    return names(*call.callee, "get") && !arguments.empty() && is_text(*arguments[0], "content");
  }

  // Whether the value may be a message's content as it is.
  bool is_content(const Expr& expr) const {
    switch (expr.kind) {
      case ExprKind::kName: return aliases_.contains(static_cast<const NameExpr&>(expr).name);
      case ExprKind::kAttribute:
      case ExprKind::kItem: return names(expr, "content");
      case ExprKind::kCall: return gets_content(static_cast<const CallExpr&>(expr));
      case ExprKind::kSlice: return is_content(*static_cast<const SliceExpr&>(expr).object);
      case ExprKind::kFilter: {
        const auto& filter = static_cast<const BuiltinExpr&>(expr);
        return filter.input && is_content(*filter.input);
      }
      case ExprKind::kOr: {
        const auto& either = static_cast<const BinaryExpr&>(expr);
        return is_content(*either.left) || is_content(*either.right);
      }
      case ExprKind::kConditional: {
        const auto& choice = static_cast<const ConditionalExpr&>(expr);
        return is_content(*choice.then) || (choice.otherwise && is_content(*choice.otherwise));
      }
      default: return false;
    }
  }

  void visit(const Body& body) {
    for (const StmtPtr& statement : body) visit(*statement);
  }

  void visit_set(const SetNode& node) {
    visit(node.value);
    if (node.target->kind != ExprKind::kName || !is_content(*node.value)) return;
    aliases_.insert(static_cast<const NameExpr&>(*node.target).name);
  }

  void visit_for(const ForNode& node) {
    found_ = found_ || is_content(*node.items);
    visit(node.items);
    visit(node.test);
    visit(node.body);
    visit(node.otherwise);
  }

  void visit(const Stmt& statement) {
    switch (statement.kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& part : static_cast<const OutputNode&>(statement).parts) visit(part);
        break;
      case StmtKind::kFor: visit_for(static_cast<const ForNode&>(statement)); break;
      case StmtKind::kIf:
        for (const auto& [test, body] : static_cast<const IfNode&>(statement).branches) {
          visit(test);
          visit(body);
        }
        visit(static_cast<const IfNode&>(statement).otherwise);
        break;
      case StmtKind::kSet: visit_set(static_cast<const SetNode&>(statement)); break;
      case StmtKind::kSetBlock: visit(static_cast<const SetBlockNode&>(statement).body); break;
      case StmtKind::kWith:
        for (const auto& variable : static_cast<const WithNode&>(statement).variables) visit(variable.second);
        visit(static_cast<const WithNode&>(statement).body);
        break;
      case StmtKind::kMacro: visit(static_cast<const MacroNode&>(statement).body); break;
      case StmtKind::kCallBlock:
        visit(static_cast<const CallBlockNode&>(statement).caller->body);
        visit(static_cast<const CallBlockNode&>(statement).call);
        break;
      case StmtKind::kFilterBlock: visit(static_cast<const FilterBlockNode&>(statement).body); break;
      case StmtKind::kScope: visit(static_cast<const ScopeNode&>(statement).body); break;
      case StmtKind::kBreak:
      case StmtKind::kContinue: break;
    }
  }

  void visit_arguments(const ArgumentExprs& arguments) {
    for (const ExprPtr& argument : arguments.positional) visit(argument);
    for (const auto& argument : arguments.keyword) visit(argument.second);
  }

  // content[0].text, content | selectattr('type', ...) and the like.
  void look(const Expr& expr) {
    if (names(expr, "text") || names(expr, "type")) {
      const Expr& object = expr.kind == ExprKind::kAttribute ? *static_cast<const AttributeExpr&>(expr).object
                                                             : *static_cast<const ItemExpr&>(expr).object;
      found_ = found_ || (object.kind == ExprKind::kItem && is_content(*static_cast<const ItemExpr&>(object).object));
    }
    if (expr.kind != ExprKind::kFilter) return;
    const auto& filter = static_cast<const BuiltinExpr&>(expr);
    const bool per_part = filter.name == "selectattr" || filter.name == "rejectattr" || filter.name == "map";
    found_ = found_ || (per_part && filter.input && is_content(*filter.input));
  }

  void visit(const ExprPtr& pointer) {
    if (!pointer) return;
    const Expr& expr = *pointer;
    look(expr);
    switch (expr.kind) {
      case ExprKind::kList:
      case ExprKind::kTuple:
      case ExprKind::kDict:
      case ExprKind::kConcat:
        for (const ExprPtr& item : static_cast<const ItemsExpr&>(expr).items) visit(item);
        break;
      case ExprKind::kAttribute: visit(static_cast<const AttributeExpr&>(expr).object); break;
      case ExprKind::kItem: visit(static_cast<const ItemExpr&>(expr).object); break;
      case ExprKind::kSlice: visit(static_cast<const SliceExpr&>(expr).object); break;
      case ExprKind::kCall:
        visit(static_cast<const CallExpr&>(expr).callee);
        visit_arguments(static_cast<const CallExpr&>(expr).arguments);
        break;
      case ExprKind::kFilter:
      case ExprKind::kTest:
        visit(static_cast<const BuiltinExpr&>(expr).input);
        visit_arguments(static_cast<const BuiltinExpr&>(expr).arguments);
        break;
      case ExprKind::kNegate:
      case ExprKind::kPlus:
      case ExprKind::kNot: visit(static_cast<const UnaryExpr&>(expr).operand); break;
      case ExprKind::kArithmetic:
      case ExprKind::kAnd:
      case ExprKind::kOr:
        visit(static_cast<const BinaryExpr&>(expr).left);
        visit(static_cast<const BinaryExpr&>(expr).right);
        break;
      case ExprKind::kCompare:
        visit(static_cast<const CompareExpr&>(expr).first);
        for (const auto& operand : static_cast<const CompareExpr&>(expr).rest) visit(operand.second);
        break;
      case ExprKind::kConditional:
        visit(static_cast<const ConditionalExpr&>(expr).test);
        visit(static_cast<const ConditionalExpr&>(expr).then);
        visit(static_cast<const ConditionalExpr&>(expr).otherwise);
        break;
      case ExprKind::kConst:
      case ExprKind::kName:
      case ExprKind::kNamespaceTarget: break;
    }
  }

  const Template& tree_;
  std::set<int> aliases_;  // symbols that may hold a content
  bool found_ = false;
};

}  // namespace

bool reads_content_parts(const jinja::Template& tree) { return PartsFinder(tree).run(); }

}  // namespace terrace
