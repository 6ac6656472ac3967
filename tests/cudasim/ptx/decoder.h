// Turns a parsed function into a Program: finds each opcode's decoder in the tables of ops_*.cpp, gives slots to its operands, resolves labels.
// A statement that nobody can decode becomes an instruction that ends the process when it is reached.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>

#include "tests/cudasim/ptx/instruction.h"
#include "tests/cudasim/ptx/module.h"
#include "tests/cudasim/ptx/opcode.h"

namespace cudasim::ptx {

class Decoder;
/// Emits the instruction of the decoder's present statement.
using DecodeStatement = void (*)(Decoder&);
/// By base opcode; "add.float" and "add.half" where the first type is a float or a 16-bit float (also packed, also bf16).
using OpcodeTable = std::unordered_map<std::string, DecodeStatement>;

void add_integer_ops(OpcodeTable& table);
void add_logic_ops(OpcodeTable& table);
void add_float_ops(OpcodeTable& table);
void add_half_ops(OpcodeTable& table);
void add_convert_ops(OpcodeTable& table);
void add_move_ops(OpcodeTable& table);
void add_compare_ops(OpcodeTable& table);
void add_memory_ops(OpcodeTable& table);
void add_atomic_ops(OpcodeTable& table);
void add_control_ops(OpcodeTable& table);
void add_warp_ops(OpcodeTable& table);

struct Address {
  uint16_t slot = kZero;
  int64_t offset = 0;
};

class Decoder {
 public:
  struct Callee {
    const Program* program = nullptr;
    const Function* function = nullptr;
  };
  using FindFunction = std::function<Callee(std::string_view name)>;

  /// `find_function` decodes what is called, or gives nulls.
  Decoder(const Module& module, const Function& function, Program& program, FindFunction find_function);
  void run();

  // ---- for the decoders of single opcodes ----
  Opcode opcode{""};
  const Function& function() const { return function_; }
  Program& program() { return program_; }
  Callee find_function(std::string_view name) const { return find_function_(name); }

  size_t num_operands() const { return statement_->operands.size(); }
  const Operand& operand(size_t index) const;
  Type type();  // the opcode's next type, which must be there
  uint16_t source(const Operand& operand);
  uint16_t source(size_t index) { return source(operand(index)); }
  uint16_t destination(const Operand& operand);
  uint16_t destination(size_t index) { return destination(operand(index)); }
  uint16_t constant(uint64_t bits);
  uint16_t temporary();
  Address address(const Operand& operand);

  /// Appends an instruction with these slots, guarded as the statement is.
  Instruction& emit(Execute execute, std::initializer_list<uint16_t> slots);
  /// destination, source, source ...: what most opcodes are.
  Instruction& emit_plain(Execute execute, size_t num_sources);
  /// The label's instruction, known when the function is decoded: put into Instruction::immediate.
  void branch_to(std::string_view label);
  /// Number of the list of targets, in Program::branch_tables when the function is decoded.
  size_t branch_table(std::string_view label);
  [[noreturn]] void fail(std::string_view what) const;

 private:
  void statement();
  std::string describe(std::string_view what) const;
  int64_t target(std::string_view label) const;

  struct Fixup {
    size_t instruction;
    std::string label;
  };

  const Module& module_;
  const Function& function_;
  Program& program_;
  FindFunction find_function_;
  const Statement* statement_ = nullptr;
  std::vector<uint16_t> registers_;  // slot of each register
  std::unordered_map<uint64_t, uint16_t> constants_;
  std::vector<size_t> first_;  // instruction of each statement
  std::vector<Fixup> fixups_;
  std::vector<const std::vector<std::string>*> branch_lists_;
};

/// A slot of a fixed special register such as %tid.x, or -1.
int special_slot(std::string_view name);

}  // namespace cudasim::ptx
