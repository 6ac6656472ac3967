#include "tests/cudasim/ptx/parser.h"

#include <algorithm>
#include <cstring>

#include "tests/cudasim/ptx/token_reader.h"

namespace cudasim::ptx {

namespace {

class OutlineParser {
 public:
  explicit OutlineParser(Module& module) : module_(module), reader_(module, {}) {}

  void run() {
    while (reader_.token().kind != Token::Kind::kEnd) directive(reader_.word());
  }

 private:
  void directive(std::string_view word) {
    if (word == ".version" || word == ".target" || word == ".address_size") {
      reader_.lexer().skip_line();
      reader_.advance();
    } else if (word == ".visible" || word == ".weak" || word == ".extern" || word == ".common") {
    } else if (word == ".global" || word == ".const" || word == ".shared") {
      variable(word == ".global" ? Space::kGlobal : word == ".const" ? Space::kConst : Space::kShared);
    } else if (word == ".entry" || word == ".func") {
      function(word == ".entry");
    } else if (word == ".file") {
      file();
    } else if (word == ".section") {
      while (!reader_.token().is("{")) reader_.advance();
      reader_.lexer().skip_braces();
      reader_.advance();
    } else {
      reader_.fail(fmt::format("unknown directive {}", word));
    }
  }

  void variable(Space space) {
    auto variable = std::make_unique<Variable>(reader_.variable(space));
    reader_.expect(";");
    if (space == Space::kShared) {
      variable->offset = align_up(module_.shared_bytes, variable->alignment);
      module_.shared_bytes = variable->offset + variable->bytes;
    } else {
      auto memory = std::make_unique<unsigned char[]>(variable->bytes + variable->alignment);
      variable->offset = align_up(reinterpret_cast<uintptr_t>(memory.get()), variable->alignment);
      std::copy(variable->initial.begin(), variable->initial.end(), reinterpret_cast<unsigned char*>(variable->offset));
      module_.memory.push_back(std::move(memory));
    }
    module_.variables.push_back(std::move(variable));
  }

  std::vector<std::unique_ptr<Variable>> parameters(uint64_t& bytes) {
    std::vector<std::unique_ptr<Variable>> list;
    while (!reader_.accept(")")) {
      reader_.expect(".param");
      list.push_back(std::make_unique<Variable>(reader_.variable(Space::kParam)));
      list.back()->offset = align_up(bytes, list.back()->alignment);
      bytes = list.back()->offset + list.back()->bytes;
      reader_.accept(",");
    }
    return list;
  }

  void function(bool is_entry) {
    auto function = std::make_unique<Function>();
    function->is_entry = is_entry;
    uint64_t result_bytes = 0;
    if (reader_.accept("(")) function->results = parameters(result_bytes);
    function->name = reader_.word();
    if (reader_.accept("(")) function->params = parameters(function->param_bytes);
    while (!reader_.token().is("{") && !reader_.token().is(";")) {
      if (reader_.token().kind == Token::Kind::kEnd) reader_.fail("the file ends in a function's head");
      const bool bound = reader_.accept(".maxntid") || reader_.accept(".reqntid");
      if (!bound) {
        reader_.advance();
        continue;
      }
      function->max_threads = static_cast<int>(reader_.number());
      while (reader_.accept(",")) function->max_threads *= static_cast<int>(reader_.number());
    }
    if (reader_.accept(";")) return;  // a declaration: the definition follows
    function->body = reader_.lexer().place();
    reader_.lexer().skip_braces();
    reader_.advance();
    const std::string name = function->name;
    module_.functions[name] = std::move(function);
  }

  void file() {
    const int number = static_cast<int>(reader_.number());
    module_.files[number] = reader_.token().text;
    reader_.advance();
    while (reader_.accept(",")) reader_.number();
  }

  Module& module_;
  TokenReader reader_;
};

}  // namespace

std::unique_ptr<Module> parse_outline(std::string path, std::string text) {
  auto module = std::make_unique<Module>();
  module->path = std::move(path);
  module->text = std::move(text);
  OutlineParser(*module).run();
  return module;
}

}  // namespace cudasim::ptx
