#include <algorithm>

#include "tests/cudasim/ptx/parser.h"
#include "tests/cudasim/ptx/token_reader.h"

namespace cudasim::ptx {

namespace {

class BodyParser {
 public:
  BodyParser(const Module& module, Function& function) : module_(module), function_(function), reader_(module, function.body) {}

  void run() {
    scopes_.emplace_back();
    for (const auto* list : {&function_.params, &function_.results}) {
      for (const auto& variable : *list) scopes_.back()[variable->name].variable = variable.get();
    }
    for (const auto& variable : function_.results) {
      variable->offset = align_up(function_.local_bytes, variable->alignment);
      function_.local_bytes = variable->offset + variable->bytes;
    }
    function_.shared_bytes = module_.shared_bytes;
    while (!scopes_.empty()) item();
    function_.is_parsed = true;
  }

 private:
  struct Symbol {
    int reg = -1;
    const Variable* variable = nullptr;
  };

  void item() {
    if (reader_.token().kind == Token::Kind::kEnd) reader_.fail("the file ends in a function");
    if (reader_.accept(";")) return;
    if (reader_.token().is("{")) {
      scopes_.emplace_back();
      reader_.advance();
    } else if (reader_.token().is("}")) {
      scopes_.pop_back();
      if (!scopes_.empty()) reader_.advance();
    } else if (reader_.token().is("@")) {
      statement();
    } else if (reader_.token().text[0] == '.') {
      directive();
    } else {
      label_or_statement();
    }
  }

  void directive() {
    std::string_view word = reader_.token().text;
    const size_t dot = word.find('.', 1);  // ".reg.b32" is two directives in one word
    const std::string_view type = dot == std::string_view::npos ? std::string_view() : word.substr(dot + 1);
    word = word.substr(0, dot);
    reader_.advance();
    if (word == ".loc") {
      location();
    } else if (word == ".reg") {
      registers(type.empty() ? reader_.word().substr(1) : type);
    } else if (word == ".local" || word == ".shared" || word == ".param") {
      variable(word == ".local" ? Space::kLocal : word == ".shared" ? Space::kShared : Space::kParam);
    } else if (word == ".pragma") {
      reader_.advance();
      reader_.expect(";");
    } else {
      reader_.fail(fmt::format("unknown directive {}", word));
    }
  }

  /// .loc FILE LINE COLUMN[, function_name LABEL[+N], inlined_at FILE LINE COLUMN]: the line of this function that called the inlined one tells more.
  void location() {
    auto numbers = [&] {
      source_.file = static_cast<int>(reader_.number());
      source_.line = static_cast<int>(reader_.number());
      reader_.number();
    };
    numbers();
    while (reader_.accept(",")) {
      if (reader_.accept("inlined_at")) {
        numbers();
      } else {
        reader_.expect("function_name");
        reader_.word();
        if (reader_.accept("+")) reader_.number();
      }
    }
  }

  void registers(std::string_view type) {
    const int bytes = type_bytes(type);
    if (bytes == 0) reader_.fail(fmt::format("unknown register type {}", type));
    const int bits = type == "pred" ? 1 : bytes * 8;
    do {
      const std::string name(reader_.word());
      if (!reader_.accept("<")) {
        add_register(name, bits);
        continue;
      }
      const int64_t count = reader_.number();
      reader_.expect(">");
      for (int64_t i = 0; i < count; ++i) add_register(name + std::to_string(i), bits);
    } while (reader_.accept(","));
    reader_.expect(";");
  }

  void add_register(const std::string& name, int bits) {
    if (bits > 64) reader_.fail("registers of more than 64 bits are not simulated");
    scopes_.back()[name] = {static_cast<int>(function_.registers.size()), nullptr};
    function_.registers.push_back({name, bits});
  }

  void variable(Space space) {
    auto variable = std::make_unique<Variable>(reader_.variable(space));
    if (space == Space::kShared && !function_.is_entry) reader_.fail("shared variables of a called function are not simulated");
    uint64_t& bytes = space == Space::kShared ? function_.shared_bytes : function_.local_bytes;
    variable->offset = align_up(bytes, variable->alignment);
    bytes = variable->offset + variable->bytes;
    scopes_.back()[variable->name].variable = variable.get();
    function_.variables.push_back(std::move(variable));
    reader_.expect(";");
  }

  void label_or_statement() {
    const Lexer::Place after = reader_.lexer().place();
    const Token first = reader_.token();
    reader_.advance();
    if (!reader_.token().is(":")) {
      reader_.lexer().seek(after);
      opcode_ = first;
      statement();
      return;
    }
    reader_.advance();
    const std::string name(first.text);
    if (!function_.labels.emplace(name, static_cast<int>(function_.statements.size())).second) reader_.fail("a label that is there already");
    if (!reader_.accept(".branchtargets")) return;
    do {
      function_.branch_lists[name].emplace_back(reader_.word());
    } while (reader_.accept(","));
    reader_.expect(";");
  }

  /// The opcode is the present token, or the guard before it is.
  void statement() {
    Statement statement;
    if (opcode_.text.empty()) {
      reader_.expect("@");
      statement.guard_negated = reader_.accept("!");
      const Symbol symbol = find(reader_.word());
      if (symbol.reg < 0) reader_.fail("a guard that is no register");
      statement.guard = symbol.reg;
      opcode_ = reader_.token();
    }
    statement.opcode = opcode_.text;
    statement.line = opcode_.line;
    statement.source = source_;
    opcode_ = {};
    reader_.advance();
    while (!reader_.accept(";")) {
      statement.operands.push_back(operand());
      if (!reader_.token().is(";")) reader_.accept(",");
    }
    function_.statements.push_back(std::move(statement));
  }

  Operand operand() {
    Operand result;
    if (reader_.token().is("{") || reader_.token().is("(")) {
      result = list(reader_.token().is("{") ? "}" : ")");
    } else if (reader_.accept("[")) {
      result = operand();
      result.is_address = true;
      reader_.expect("]");
      return result;
    } else {
      result = single();
    }
    if (reader_.accept("|")) {
      Operand pair;
      pair.kind = Operand::Kind::kList;
      pair.elements = {result, single()};
      return pair;
    }
    if (reader_.accept("+")) result.immediate += reader_.number();
    return result;
  }

  Operand list(std::string_view end) {
    Operand result;
    result.kind = Operand::Kind::kList;
    reader_.advance();
    while (!reader_.accept(end)) {
      result.elements.push_back(operand());
      reader_.accept(",");
    }
    return result;
  }

  Operand single() {
    Operand result;
    result.negated = reader_.accept("!");
    if (reader_.token().is("-") || reader_.token().kind == Token::Kind::kNumber) {
      result.kind = Operand::Kind::kImmediate;
      result.immediate = reader_.number();
      return result;
    }
    const std::string_view name = reader_.word();
    if (name == "_") return result;
    const Symbol symbol = find(name);
    result.name = name;
    result.reg = symbol.reg;
    result.variable = symbol.variable;
    result.kind = symbol.reg >= 0   ? Operand::Kind::kRegister
                  : symbol.variable ? Operand::Kind::kVariable
                  : name[0] == '%'  ? Operand::Kind::kSpecial
                                    : Operand::Kind::kName;
    return result;
  }

  Symbol find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    }
    for (const auto& variable : module_.variables) {
      if (variable->name == name) return {-1, variable.get()};
    }
    return {};
  }

  const Module& module_;
  Function& function_;
  TokenReader reader_;
  std::vector<std::map<std::string, Symbol, std::less<>>> scopes_;
  SourceLine source_;
  Token opcode_;
};

}  // namespace

void parse_body(const Module& module, Function& function) {
  if (!function.is_parsed) BodyParser(module, function).run();
}

}  // namespace cudasim::ptx
