#include "runtime/text/jinja/operators.h"

#include <fmt/format.h>

#include <cmath>

#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {
namespace {

constexpr const char* kArithmeticSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
constexpr const char* kComparisonSigns[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};

[[noreturn]] void fail_types(Runtime& rt, const char* sign, const Value& a, const Value& b) {
  rt.fail(fmt::format("{} does not work for a {} and a {}", sign, type_name(a), type_name(b)));
}

[[noreturn]] void fail_overflow(Runtime& rt) { rt.fail("an integer result does not fit in 64 bits"); }

std::int64_t int_power(Runtime& rt, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) fail_overflow(rt);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow(rt);
  }
  return result;
}

// Python rounds the quotient down, and the remainder has the divisor's sign.
std::int64_t int_floor_divide(Runtime& rt, std::int64_t a, std::int64_t b) {
  if (b == 0) rt.fail("integer division by zero");
  if (b == -1) {
    if (a == INT64_MIN) fail_overflow(rt);
    return -a;
  }
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

std::int64_t int_modulo(Runtime& rt, std::int64_t a, std::int64_t b) {
  if (b == 0) rt.fail("integer modulo by zero");
  if (b == -1) return 0;
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value int_arithmetic(Runtime& rt, Arithmetic op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Arithmetic::kAdd: overflow = __builtin_add_overflow(a, b, &result); break;
    case Arithmetic::kSubtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case Arithmetic::kMultiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case Arithmetic::kFloorDivide: return int_floor_divide(rt, a, b);
    case Arithmetic::kModulo: return int_modulo(rt, a, b);
    case Arithmetic::kPower:
      if (b >= 0) return int_power(rt, a, b);
      if (a == 0) rt.fail("zero cannot be raised to a negative power");
      return std::pow(static_cast<double>(a), static_cast<double>(b));
    case Arithmetic::kDivide:
      if (b == 0) rt.fail("division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
  }
  if (overflow) fail_overflow(rt);
  return result;
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double float_floor_divide(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double down = std::floor(quotient);
  return quotient - down > 0.5 ? down + 1 : down;
}

double float_power(Runtime& rt, double a, double b) {
  if (a == 0 && b < 0) rt.fail("zero cannot be raised to a negative power");
  if (a < 0 && std::isfinite(b) && std::floor(b) != b) rt.fail("a negative number has no such power among the reals");
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) rt.fail("the power is too large for a float");
  return result;
}

Value float_arithmetic(Runtime& rt, Arithmetic op, double a, double b) {
  const bool divides = op == Arithmetic::kDivide || op == Arithmetic::kFloorDivide || op == Arithmetic::kModulo;
  if (divides && b == 0) rt.fail("float division by zero");
  switch (op) {
    case Arithmetic::kAdd: return a + b;
    case Arithmetic::kSubtract: return a - b;
    case Arithmetic::kMultiply: return a * b;
    case Arithmetic::kDivide: return a / b;
    case Arithmetic::kFloorDivide: return float_floor_divide(a, b);
    case Arithmetic::kModulo: return float_modulo(a, b);
    case Arithmetic::kPower: break;
  }
  return float_power(rt, a, b);
}

Value join_strings(Runtime& rt, const Value& a, const Value& b) {
  const Text& left = *a.as<const Text>();
  const Text& right = *b.as<const Text>();
  rt.reserve_text(left.bytes.size() + right.bytes.size());
  const bool safe = left.safe || right.safe;
  std::string out = safe && !left.safe ? escape_html(left.bytes) : left.bytes;
  out += safe && !right.safe ? escape_html(right.bytes) : right.bytes;
  return make_string(std::move(out), safe);
}

Value join_sequences(Runtime& rt, const Value& a, const Value& b) {
  Values items = *a.items();
  items.insert(items.end(), b.items()->begin(), b.items()->end());
  return a.is(Kind::kList) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

Value repeat(Runtime& rt, const Value& sequence, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  const std::uint64_t size = sequence.is_string() ? sequence.as_string().size() : sequence.items()->size();
  const bool huge = size != 0 && count > rt.limits().max_text / size;
  if (huge) rt.fail(fmt::format("a sequence of {} items times {} is too long", size, count));
  if (sequence.is_string()) {
    rt.reserve_text(size * count);
    std::string out;
    out.reserve(size * count);
    for (std::uint64_t i = 0; size > 0 && i < count; ++i) out += sequence.as_string();
    return make_string(std::move(out), sequence.as<const Text>()->safe);
  }
  rt.reserve(size * count * sizeof(Value));
  Values items;
  items.reserve(size * count);
  for (std::uint64_t i = 0; size > 0 && i < count; ++i) {
    items.insert(items.end(), sequence.items()->begin(), sequence.items()->end());
  }
  return sequence.is(Kind::kList) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

bool can_repeat(const Value& value) { return value.is_string() || value.items(); }

long double wide(const Value& v) {  // exact for 64-bit integers and doubles
  return v.is(Kind::kFloat) ? static_cast<long double>(v.as_double()) : static_cast<long double>(v.as_int());
}

template <class T>
bool ordered(Comparison op, const T& a, const T& b) {
  switch (op) {
    case Comparison::kLt: return a < b;
    case Comparison::kLe: return a <= b;
    case Comparison::kGt: return a > b;
    default: return a >= b;
  }
}

bool order(Runtime& rt, Comparison op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return ordered(op, wide(a), wide(b));
  if (a.is_string() && b.is_string()) return ordered(op, a.as_string(), b.as_string());  // UTF-8 sorts as code points
  need_defined(rt, a);
  need_defined(rt, b);
  if (!a.items() || a.kind() != b.kind()) fail_types(rt, kComparisonSigns[static_cast<int>(op)], a, b);
  const Values& left = *a.items();
  const Values& right = *b.items();
  for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (!rt.same(left[i], right[i])) return order(rt, op, left[i], right[i]);
  }
  return ordered(op, left.size(), right.size());
}

bool string_contains(Runtime& rt, const Value& container, const Value& item) {
  if (!item.is_string()) fail_types(rt, "in", item, container);
  rt.step(container.extent().cost);
  return container.as_string().find(item.as_string()) != std::string::npos;
}

bool range_contains(const Range& range, const Value& item) {
  if (!item.is_number()) return false;
  if (item.is(Kind::kFloat) && std::floor(item.as_double()) != item.as_double()) return false;
  const double wanted = item.as_double();
  for (std::int64_t i = 0; i < range.size(); ++i) {
    if (static_cast<double>(range.start + i * range.step) == wanted) return true;
  }
  return false;
}

}  // namespace

void need_defined(Runtime& rt, const Value& value) {
  if (value.is_undefined()) rt.fail(value.as<const Undefined>()->message);
}

Value arithmetic(Runtime& rt, Arithmetic op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return int_arithmetic(rt, op, a.as_int(), b.as_int());
    return float_arithmetic(rt, op, a.as_double(), b.as_double());
  }
  if (op == Arithmetic::kModulo && a.is_string()) return percent_format(rt, a, b);
  need_defined(rt, a);
  need_defined(rt, b);
  if (op == Arithmetic::kAdd && a.kind() == b.kind()) {
    if (a.is_string()) return join_strings(rt, a, b);
    if (a.items()) return join_sequences(rt, a, b);
  }
  if (op == Arithmetic::kMultiply && can_repeat(a) && b.is_integral()) return repeat(rt, a, b.as_int());
  if (op == Arithmetic::kMultiply && can_repeat(b) && a.is_integral()) return repeat(rt, b, a.as_int());
  fail_types(rt, kArithmeticSigns[static_cast<int>(op)], a, b);
}

Value negate(Runtime& rt, const Value& a) {
  need_defined(rt, a);
  if (a.is(Kind::kFloat)) return -a.as_double();
  if (!a.is_integral()) rt.fail(fmt::format("a {} has no negative", type_name(a)));
  if (a.as_int() == INT64_MIN) fail_overflow(rt);
  return -a.as_int();
}

Value plus(Runtime& rt, const Value& a) {
  need_defined(rt, a);
  if (a.is(Kind::kFloat)) return a;
  if (!a.is_integral()) rt.fail(fmt::format("+ does not work before a {}", type_name(a)));
  return a.as_int();
}

bool contains(Runtime& rt, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString: return string_contains(rt, container, item);
    case Kind::kDict: return rt.find(*container.as<const Dict>(), item) != nullptr;
    case Kind::kRange: return range_contains(*container.as<const Range>(), item);
    case Kind::kView:
      if (container.as<const View>()->part == View::kKeys) {
        return rt.find(*container.as<const View>()->dict, item) != nullptr;
      }
      [[fallthrough]];
    default:
      if (!is_iterable(container)) fail_types(rt, "in", item, container);
      for (const Value& other : to_items(rt, container)) {
        if (rt.same(other, item)) return true;
      }
      return false;
  }
}

bool compare(Runtime& rt, Comparison op, const Value& a, const Value& b) {
  switch (op) {
    case Comparison::kEq: return rt.same(a, b);
    case Comparison::kNe: return !rt.same(a, b);
    case Comparison::kIn: return contains(rt, b, a);
    case Comparison::kNotIn: return !contains(rt, b, a);
    default: return order(rt, op, a, b);
  }
}

}  // namespace terrace::jinja
