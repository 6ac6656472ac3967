// How the opcode files write an instruction: a function object on values, lifted to slots for each type that it may have. Included by ops_*.cpp alone.
#pragma once

#include <type_traits>

#include "tests/cudasim/ptx/decoder.h"

namespace cudasim::ptx {

template <typename T, typename Function>
void run_unary(const Instruction& i, Frame& f) {
  f.set(i.slot[0], Function()(f.get<T>(i.slot[1])));
}

template <typename T, typename Function>
void run_binary(const Instruction& i, Frame& f) {
  f.set(i.slot[0], Function()(f.get<T>(i.slot[1]), f.get<T>(i.slot[2])));
}

template <typename T, typename Function>
void run_ternary(const Instruction& i, Frame& f) {
  f.set(i.slot[0], Function()(f.get<T>(i.slot[1]), f.get<T>(i.slot[2]), f.get<T>(i.slot[3])));
}

/// make.operator()<T>() for the C++ type of an integer or bit type; null for others.
template <typename Make>
Execute for_integer(Type type, Make make) {
  switch (type) {
    case Type::kB8: case Type::kU8: return make.template operator()<uint8_t>();
    case Type::kS8: return make.template operator()<int8_t>();
    case Type::kB16: case Type::kU16: return make.template operator()<uint16_t>();
    case Type::kS16: return make.template operator()<int16_t>();
    case Type::kB32: case Type::kU32: return make.template operator()<uint32_t>();
    case Type::kS32: return make.template operator()<int32_t>();
    case Type::kB64: case Type::kU64: return make.template operator()<uint64_t>();
    case Type::kS64: return make.template operator()<int64_t>();
    default: return nullptr;
  }
}

template <typename Function>
Execute integer_unary(Type type) {
  return for_integer(type, []<typename T>() -> Execute { return run_unary<T, Function>; });
}

template <typename Function>
Execute integer_binary(Type type) {
  return for_integer(type, []<typename T>() -> Execute { return run_binary<T, Function>; });
}

/// The operands of a {a, b} list, or the operand itself.
inline std::span<const Operand> elements(const Operand& operand) {
  if (operand.kind == Operand::Kind::kList) return operand.elements;
  return {&operand, 1};
}

}  // namespace cudasim::ptx
