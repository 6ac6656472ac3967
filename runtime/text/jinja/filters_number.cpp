// Filters that give a number.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {
namespace {

constexpr double kInt64Bound = 9.2233720368547758e18;

Value filter_abs(Call& call) {
  if (call.self.is(Kind::kFloat)) return std::fabs(call.self.as_double());
  if (!call.self.is_integral()) call.fail(fmt::format("needs a number, not a {}", type_name(call.self)));
  return call.self.as_int() < 0 ? negate(call.rt, call.self) : Value(call.self.as_int());
}

// int(value), else int(float(value)), else the default.
Value filter_int(Call& call) {
  need_defined(call.rt, call.self);
  const Value otherwise = call.value(0, std::int64_t{0});
  if (call.self.is_integral()) return call.self.as_int();
  double real = 0;
  if (call.self.is_string()) {
    if (const auto number = parse_int(call.rt, call.self.as_string(), call.integer(1, 10))) return *number;
    const auto parsed = parse_float(call.self.as_string());
    if (!parsed) return otherwise;
    real = *parsed;
  } else if (call.self.is(Kind::kFloat)) {
    real = call.self.as_double();
  } else {
    return otherwise;
  }
  if (!std::isfinite(real)) return otherwise;
  if (std::fabs(real) >= kInt64Bound) call.fail("gives an integer that does not fit in 64 bits");
  return static_cast<std::int64_t>(real);
}

Value filter_float(Call& call) {
  need_defined(call.rt, call.self);
  if (call.self.is_number()) return call.self.as_double();
  const auto parsed = call.self.is_string() ? parse_float(call.self.as_string()) : std::nullopt;
  return parsed ? Value(*parsed) : call.value(0, 0.0);
}

// Half to even, on the exact binary value, as Python's round().
Value round_half_even(Call& call, std::int64_t digits) {
  const bool is_int = call.self.is_integral();
  if (is_int && digits >= 0) return call.self.as_int();
  if (digits < -18) return is_int ? Value(std::int64_t{0}) : Value(std::copysign(0.0, call.self.as_double()));
  if (is_int) {
    std::int64_t unit = 1;
    for (std::int64_t i = digits; i < 0; ++i) unit *= 10;
    const std::int64_t value = call.self.as_int();
    const std::int64_t rest = std::abs(value % unit);
    const std::int64_t down = value - value % unit;
    const bool up = rest > unit - rest || (rest == unit - rest && (down / unit) % 2 != 0);
    return arithmetic(call.rt, Arithmetic::kAdd, down, std::int64_t{up ? (value < 0 ? -unit : unit) : 0});
  }
  const double value = call.self.as_double();
  if (!std::isfinite(value) || digits > 330) return value;
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  return std::strtod(format_style(call.rt, value, 'f', digits).c_str(), nullptr);
}

Value filter_round(Call& call) {
  need_defined(call.rt, call.self);
  if (!call.self.is_number()) call.fail(fmt::format("needs a number, not a {}", type_name(call.self)));
  const std::int64_t digits = call.integer(0, 0);
  const std::string method = call.has(1) ? to_text(call.rt, call.at(1)) : "common";
  if (method == "common") return round_half_even(call, digits);
  if (method != "ceil" && method != "floor") call.fail("knows the methods common, ceil and floor");
  if (digits > 300 || digits < -300) call.fail("gets too large a precision");
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = call.self.as_double() * unit;
  if (!std::isfinite(scaled)) call.fail("needs a finite number");
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit;
}

Value filter_filesizeformat(Call& call) {
  static constexpr const char* kDecimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  static constexpr const char* kBinary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
  const auto text = call.self.is_string() ? parse_float(call.self.as_string()) : std::nullopt;
  if (!call.self.is_number() && !text) call.fail("needs a number");
  const double bytes = text ? *text : call.self.as_double();
  const double base = call.flag(0) ? 1024 : 1000;
  if (!std::isfinite(bytes)) call.fail("needs a finite number");
  if (bytes == 1) return call.rt.string("1 Byte");
  if (bytes < base) return call.rt.string(fmt::format("{:.0f} Bytes", std::trunc(bytes)));
  int i = 0;
  double unit = base * base;
  for (; i < 7 && bytes >= unit; ++i) unit *= base;
  return call.rt.string(fmt::format("{:.1f} {}", base * bytes / unit, (call.flag(0) ? kBinary : kDecimal)[i]));
}

constexpr Builtin kTable[] = {
    {"abs", "/", filter_abs},
    {"filesizeformat", "binary?", filter_filesizeformat},
    {"float", "default?", filter_float},
    {"int", "default? base?", filter_int},
    {"round", "precision? method?", filter_round},
};

}  // namespace

std::span<const Builtin> number_filters() { return kTable; }

}  // namespace terrace::jinja
