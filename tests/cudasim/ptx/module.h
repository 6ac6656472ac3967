// A .ptx file as the parser leaves it: names resolved to registers and variables, nothing decoded yet. Filled by the parser, read by the decoder.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cudasim/ptx/lexer.h"

namespace cudasim::ptx {

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam, kConst };

struct Variable {
  std::string name;
  Space space = Space::kGeneric;
  uint64_t bytes = 0;  // 0: `name[]`, the block's dynamic shared memory
  uint64_t alignment = 1;
  std::vector<unsigned char> initial;  // shorter than bytes: the rest is zero
  /// Offset in its space's memory: in the parameters, the lane's frame or the block's static shared memory. For kGlobal and kConst the address of its copy.
  uint64_t offset = 0;
};

struct Operand {
  enum class Kind : uint8_t { kRegister, kImmediate, kVariable, kSpecial, kName, kList, kSink };
  Kind kind = Kind::kSink;
  bool negated = false;      // !%p
  bool is_address = false;   // [..]
  int reg = -1;              // kRegister: number in the function
  int64_t immediate = 0;     // kImmediate: the bits; otherwise what is added to an address
  const Variable* variable = nullptr;
  std::string_view name;     // kSpecial, kName
  std::vector<Operand> elements;  // kList: {..}, (..) and a|b
};

struct SourceLine {
  int file = 0;  // number in Module::files
  int line = 0;
};

struct Statement {
  std::string_view opcode;  // with its modifiers
  int guard = -1;           // register of @%p
  bool guard_negated = false;
  std::vector<Operand> operands;
  int line = 0;  // in the .ptx
  SourceLine source;
};

struct Register {
  std::string name;
  int bits = 0;  // 1 for predicates
};

struct Function {
  std::string name;
  bool is_entry = false;
  std::vector<std::unique_ptr<Variable>> params, results;
  std::vector<std::unique_ptr<Variable>> variables;  // of the body: .local, .shared, and .param of calls
  std::vector<Register> registers;
  std::vector<Statement> statements;
  std::map<std::string, int, std::less<>> labels;                            // to the statement that follows
  std::map<std::string, std::vector<std::string>, std::less<>> branch_lists;  // .branchtargets, by the label before it

  uint64_t param_bytes = 0;   // params, as the driver lays them out
  uint64_t shared_bytes = 0;  // static
  uint64_t local_bytes = 0;   // .local variables and the parameters of calls
  int max_threads = 0;        // .maxntid or .reqntid: what the kernel may be launched with; 0 if not said
  bool is_parsed = false;
  Lexer::Place body;
};

struct Module {
  std::string path, text;  // everything above points into text
  std::map<int, std::string> files;  // of .file
  std::vector<std::unique_ptr<Variable>> variables;
  std::vector<std::unique_ptr<unsigned char[]>> memory;  // of .global and .const variables
  uint64_t shared_bytes = 0;  // of .shared variables that stand outside any function: at the start of every kernel's
  std::map<std::string, std::unique_ptr<Function>, std::less<>> functions;
};

/// Bytes of `u32`, `b8`, `f64`...; 0 if there is no such type.
int type_bytes(std::string_view type);

}  // namespace cudasim::ptx
