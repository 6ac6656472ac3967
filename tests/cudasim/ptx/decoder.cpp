#include "tests/cudasim/ptx/decoder.h"

#include <fmt/core.h>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/text_arena.h"

namespace cudasim::ptx {

namespace {

constexpr uint64_t kPoison = 0xEEEEEEEEEEEEEEEEull;  // what a register holds before it is written

const OpcodeTable& opcode_table() {
  static const OpcodeTable table = [] {
    OpcodeTable made;
    for (const auto add : {add_integer_ops, add_logic_ops, add_float_ops, add_half_ops, add_convert_ops, add_move_ops, add_compare_ops, add_memory_ops, add_atomic_ops,
                           add_control_ops, add_warp_ops}) {
      add(made);
    }
    return made;
  }();
  return table;
}

DecodeStatement find_decoder(const Opcode& opcode) {
  const OpcodeTable& table = opcode_table();
  const std::string base(opcode.base());
  if (const std::string_view kind = opcode.kind(); !kind.empty()) {
    if (const auto found = table.find(base + std::string(kind)); found != table.end()) return found->second;
  }
  const auto found = table.find(base);
  return found == table.end() ? nullptr : found->second;
}

void stop(const Instruction& i, Frame&) { unsupported(i.text); }

void invert(const Instruction& i, Frame& f) { f.slots[i.slot[0]] = !(f.slots[i.slot[1]] & 1); }

void add_constant(const Instruction& i, Frame& f) { f.slots[i.slot[0]] = f.slots[i.slot[1]] + static_cast<uint64_t>(i.immediate); }

bool is_one_of(const std::vector<std::unique_ptr<Variable>>& list, const Variable* variable) {
  for (const auto& each : list) {
    if (each.get() == variable) return true;
  }
  return false;
}

}  // namespace

int special_slot(std::string_view name) {
  constexpr std::pair<std::string_view, int> kNames[] = {
      {"%tid", kThread}, {"%ctaid", kBlock}, {"%ntid", kBlockSize}, {"%nctaid", kGridSize}, {"%laneid", kLaneIndex}, {"%warpid", kWarpIndex}, {"%nwarpid", kWarps},
      {"%dynamic_smem_size", kDynamicBytes}, {"%smid", kZero}};
  const size_t dot = name.find('.');
  const int coordinate = dot == std::string_view::npos ? 0 : static_cast<int>(std::string_view("xyz").find(name.substr(dot + 1)));
  for (const auto& [known, slot] : kNames) {
    if (known == name.substr(0, dot) && coordinate >= 0) return slot + coordinate;
  }
  return -1;
}

Decoder::Decoder(const Module& module, const Function& function, Program& program, FindFunction find_function)
    : module_(module), function_(function), program_(program), find_function_(std::move(find_function)) {
  program_.name = function.name;
  program_.param_bytes = function.param_bytes;
  program_.local_bytes = (function.local_bytes + 15) / 16 * 16;
  program_.shared_bytes = function.shared_bytes;
  program_.max_threads = function.max_threads;
}

void Decoder::run() {
  program_.initial.assign(kFixedSlots, 0);
  program_.initial[kTrue] = 1;
  registers_.resize(function_.registers.size());
  for (uint16_t& slot : registers_) slot = temporary();
  for (const Statement& statement : function_.statements) {
    first_.push_back(program_.code.size());
    statement_ = &statement;
    this->statement();
  }
  static const Statement end{.opcode = "ret", .guard = -1, .guard_negated = false, .operands = {}, .line = 0, .source = {}};
  first_.push_back(program_.code.size());
  statement_ = &end;
  this->statement();
  for (const Fixup& fixup : fixups_) program_.code[fixup.instruction].immediate = target(fixup.label);
  for (const auto* labels : branch_lists_) {
    program_.branch_tables.emplace_back();
    for (const std::string& label : *labels) program_.branch_tables.back().push_back(target(label));
  }
}

void Decoder::statement() {
  const size_t before = program_.code.size();
  std::string text;
  opcode = Opcode(statement_->opcode);
  try {
    const DecodeStatement decode = find_decoder(opcode);
    if (decode == nullptr) fail("unknown opcode");
    decode(*this);
    if (!opcode.left_over().empty()) fail(fmt::format("modifier .{} is not simulated", opcode.left_over()));
    text = describe(statement_->opcode);
  } catch (const PtxError& error) {
    program_.code.resize(before);
    while (!fixups_.empty() && fixups_.back().instruction >= before) fixups_.pop_back();
    emit(stop, {});
    text = error.what();
    program_.unknown.push_back(text);
  }
  const char* const kept = keep_text(text);
  for (size_t i = before; i < program_.code.size(); ++i) program_.code[i].text = kept;
}

std::string Decoder::describe(std::string_view what) const {
  const size_t slash = module_.path.rfind('/');
  const std::string file = slash == std::string::npos ? module_.path : module_.path.substr(slash + 1);
  const auto source = module_.files.find(statement_->source.file);
  if (source == module_.files.end()) return fmt::format("{}:{}: {}", file, statement_->line, what);
  const std::string name = source->second.substr(source->second.rfind('/') + 1);
  return fmt::format("{}:{} ({}:{}): {}", file, statement_->line, name, statement_->source.line, what);
}

void Decoder::fail(std::string_view what) const { throw PtxError(describe(fmt::format("{}: {}", statement_->opcode, what))); }

const Operand& Decoder::operand(size_t index) const {
  if (index >= statement_->operands.size()) fail("too few operands");
  return statement_->operands[index];
}

Type Decoder::type() {
  const std::optional<Type> type = opcode.take_type();
  if (!type) fail("no type");
  return *type;
}

uint16_t Decoder::constant(uint64_t bits) {
  if (bits == 0) return kZero;
  const auto [found, added] = constants_.emplace(bits, 0);
  if (added) {
    found->second = temporary();
    program_.initial[found->second] = bits;
  }
  return found->second;
}

uint16_t Decoder::temporary() {
  if (program_.initial.size() > UINT16_MAX) fail("more than 65536 registers and constants");
  program_.initial.push_back(kPoison);
  return static_cast<uint16_t>(program_.initial.size() - 1);
}

Address Decoder::address(const Operand& operand) {
  const Variable* variable = operand.variable;
  switch (operand.kind) {
    case Operand::Kind::kRegister: return {registers_[static_cast<size_t>(operand.reg)], operand.immediate};
    case Operand::Kind::kImmediate: return {kZero, operand.immediate};
    case Operand::Kind::kVariable: break;
    default: fail("not an address");
  }
  const int64_t offset = operand.immediate + static_cast<int64_t>(variable->offset);
  switch (variable->space) {
    case Space::kShared: return variable->bytes == 0 ? Address{kDynamic, operand.immediate} : Address{kZero, offset};
    case Space::kLocal: return {kLocals, offset};
    case Space::kParam: return {is_one_of(function_.params, variable) ? kParams : kLocals, offset};
    default: return {kZero, offset};
  }
}

uint16_t Decoder::source(const Operand& operand) {
  switch (operand.kind) {
    case Operand::Kind::kImmediate: return constant(static_cast<uint64_t>(operand.immediate));
    case Operand::Kind::kSpecial: {
      const int slot = special_slot(operand.name);
      if (slot < 0) fail(fmt::format("special register {} is not simulated", operand.name));
      return static_cast<uint16_t>(slot);
    }
    case Operand::Kind::kRegister: {
      const uint16_t slot = registers_[static_cast<size_t>(operand.reg)];
      if (!operand.negated) return slot;
      const uint16_t inverted = temporary();
      emit(invert, {inverted, slot});
      return inverted;
    }
    case Operand::Kind::kVariable: {
      const Address place = address(operand);
      if (place.slot == kZero) return constant(static_cast<uint64_t>(place.offset));
      if (place.offset == 0) return place.slot;
      const uint16_t sum = temporary();
      emit(add_constant, {sum, place.slot}).immediate = place.offset;
      return sum;
    }
    default: fail("not a value");
  }
}

uint16_t Decoder::destination(const Operand& operand) {
  if (operand.kind == Operand::Kind::kSink) return temporary();
  if (operand.kind != Operand::Kind::kRegister) fail("the result is no register");
  return registers_[static_cast<size_t>(operand.reg)];
}

Instruction& Decoder::emit(Execute execute, std::initializer_list<uint16_t> slots) {
  if (slots.size() > kMaxSlots) fail("too many operands");
  if (execute == nullptr) fail("not simulated for this type");
  Instruction& made = program_.code.emplace_back();
  made.execute = execute;
  made.line = static_cast<uint32_t>(statement_->line);
  made.guard = kTrue;
  if (statement_->guard >= 0) {
    made.guard = registers_[static_cast<size_t>(statement_->guard)];
    made.guard_negated = statement_->guard_negated;
  }
  std::copy(slots.begin(), slots.end(), made.slot);
  return made;
}

Instruction& Decoder::emit_plain(Execute execute, size_t num_sources) {
  uint16_t slots[kMaxSlots];
  for (size_t i = 0; i < num_sources; ++i) slots[i + 1] = source(i + 1);
  slots[0] = destination(size_t{0});
  Instruction& made = emit(execute, {});
  std::copy(slots, slots + num_sources + 1, made.slot);
  return made;
}

void Decoder::branch_to(std::string_view label) {
  if (function_.labels.find(label) == function_.labels.end()) fail("no such label");
  fixups_.push_back({program_.code.size() - 1, std::string(label)});
}

size_t Decoder::branch_table(std::string_view label) {
  const auto found = function_.branch_lists.find(label);
  if (found == function_.branch_lists.end()) fail("no such list of labels");
  for (const std::string& each : found->second) {
    if (function_.labels.find(each) == function_.labels.end()) fail("no such label");
  }
  branch_lists_.push_back(&found->second);
  return branch_lists_.size() - 1;
}

int64_t Decoder::target(std::string_view label) const {
  return static_cast<int64_t>(first_[static_cast<size_t>(function_.labels.find(label)->second)]);
}

}  // namespace cudasim::ptx
