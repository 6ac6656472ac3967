// The operators of the template language with Python's semantics. Each fails (Runtime::fail) where Python raises, and
// where an integer would leave 64 bits. Pure functions over one Runtime.
#pragma once

#include <cstdint>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

enum class Arithmetic : std::uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class Comparison : std::uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

Value arithmetic(Runtime& rt, Arithmetic op, const Value& a, const Value& b);
Value negate(Runtime& rt, const Value& a);
Value plus(Runtime& rt, const Value& a);
bool compare(Runtime& rt, Comparison op, const Value& a, const Value& b);
bool contains(Runtime& rt, const Value& container, const Value& item);

// Fails with the message of an undefined value; does nothing for others.
void need_defined(Runtime& rt, const Value& value);

}  // namespace terrace::jinja
