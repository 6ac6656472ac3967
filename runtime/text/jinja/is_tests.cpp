// The tests of `x is name`.
#include <fmt/format.h>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

template <Kind kind>
Value is_kind(Call& call) {
  return call.self.is(kind);
}

template <Comparison op>
Value is_compared(Call& call) {
  return compare(call.rt, op, call.self, call.at(0));
}

template <bool wanted>
Value is_exactly(Call& call) {
  return call.self.is(Kind::kBool) && call.self.as_bool() == wanted;
}

Value remainder(Call& call, Value divisor) { return arithmetic(call.rt, Arithmetic::kModulo, call.self, divisor); }

Value is_defined(Call& call) { return !call.self.is_undefined(); }
Value is_number(Call& call) { return call.self.is_number(); }
Value is_odd(Call& call) { return call.rt.same(remainder(call, std::int64_t{2}), std::int64_t{1}); }
Value is_even(Call& call) { return call.rt.same(remainder(call, std::int64_t{2}), std::int64_t{0}); }
Value is_divisible(Call& call) { return call.rt.same(remainder(call, call.at(0)), std::int64_t{0}); }
Value is_iterable_value(Call& call) { return is_iterable(call.self); }
Value is_in(Call& call) { return contains(call.rt, call.at(0), call.self); }
Value is_filter(Call& call) { return call.self.is_string() && find_filter(call.self.as_string()); }
Value is_test(Call& call) { return call.self.is_string() && find_test(call.self.as_string()); }
Value is_escaped(Call& call) { return call.self.is_string() && call.self.as<const Text>()->safe; }

// What has a length and items; an undefined has both, as in jinja2.
Value is_sequence(Call& call) {
  const Kind kind = call.self.kind();
  return kind == Kind::kString || kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kDict ||
         kind == Kind::kRange || kind == Kind::kUndefined;
}

Value is_callable(Call& call) {
  const Kind kind = call.self.kind();
  return kind == Kind::kMacro || kind == Kind::kFunction || kind == Kind::kLoop || kind == Kind::kUndefined;
}

Value is_same(Call& call) {
  const Value& other = call.at(0);
  if (call.self.kind() != other.kind()) return false;
  if (call.self.identity()) return call.self.identity() == other.identity();
  return equal(call.self, other);
}

Value has_case(Call& call, bool upper) {
  bool cased = false;
  for (const char32_t c : to_points(to_text(call.rt, call.self))) {
    if (upper ? jinja::is_lower(c) : jinja::is_upper(c)) return false;
    cased = cased || (upper ? jinja::is_upper(c) : jinja::is_lower(c));
  }
  return cased;
}

Value is_lower_text(Call& call) { return has_case(call, false); }
Value is_upper_text(Call& call) { return has_case(call, true); }

constexpr Builtin kTable[] = {
    {"!=", "other /", is_compared<Comparison::kNe>},
    {"<", "other /", is_compared<Comparison::kLt>},
    {"<=", "other /", is_compared<Comparison::kLe>},
    {"==", "other /", is_compared<Comparison::kEq>},
    {">", "other /", is_compared<Comparison::kGt>},
    {">=", "other /", is_compared<Comparison::kGe>},
    {"boolean", "", is_kind<Kind::kBool>},
    {"callable", "/", is_callable},
    {"defined", "", is_defined},
    {"divisibleby", "num", is_divisible},
    {"eq", "other /", is_compared<Comparison::kEq>},
    {"equalto", "other /", is_compared<Comparison::kEq>},
    {"escaped", "", is_escaped},
    {"even", "", is_even},
    {"false", "", is_exactly<false>},
    {"filter", "", is_filter},
    {"float", "", is_kind<Kind::kFloat>},
    {"ge", "other /", is_compared<Comparison::kGe>},
    {"greaterthan", "other /", is_compared<Comparison::kGt>},
    {"gt", "other /", is_compared<Comparison::kGt>},
    {"in", "seq", is_in},
    {"integer", "", is_kind<Kind::kInt>},
    {"iterable", "", is_iterable_value},
    {"le", "other /", is_compared<Comparison::kLe>},
    {"lessthan", "other /", is_compared<Comparison::kLt>},
    {"lower", "", is_lower_text},
    {"lt", "other /", is_compared<Comparison::kLt>},
    {"mapping", "", is_kind<Kind::kDict>},
    {"ne", "other /", is_compared<Comparison::kNe>},
    {"none", "", is_kind<Kind::kNone>},
    {"number", "", is_number},
    {"odd", "", is_odd},
    {"sameas", "other", is_same},
    {"sequence", "", is_sequence},
    {"string", "", is_kind<Kind::kString>},
    {"test", "", is_test},
    {"true", "", is_exactly<true>},
    {"undefined", "", is_kind<Kind::kUndefined>},
    {"upper", "", is_upper_text},
};

}  // namespace

const Builtin* find_test(std::string_view name) { return find_builtin(kTable, name); }

}  // namespace terrace::jinja
