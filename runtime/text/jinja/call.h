// How filters, tests, methods and global functions are called: their tables, and the binding of arguments to the
// parameters that a table entry names. Constant data and pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> keyword;

  const Value* find(std::string_view name) const;
};

// A callable of the template language. `parameters` are words: "old new count?" ('?': may be left out); a last word
// "/" refuses keywords, as Python's builtin methods do; "*" alone leaves all arguments as they are in Call::rest.
struct Builtin {
  const char* name;
  const char* parameters;
  Callee callee;
};

struct Call {
  Runtime& rt;
  const char* name;
  const Value& self;                        // the input of a filter or test, the object of a method
  std::vector<std::optional<Value>> slots;  // by parameter
  Arguments rest;                           // for "*" only

  bool has(std::size_t i) const { return slots[i].has_value(); }
  const Value& at(std::size_t i) const { return *slots[i]; }
  Value value(std::size_t i, Value otherwise) const { return has(i) ? at(i) : std::move(otherwise); }
  bool flag(std::size_t i, bool otherwise = false) const { return has(i) ? is_true(at(i)) : otherwise; }
  std::int64_t integer(std::size_t i) const;  // fails for what is not an int
  std::int64_t integer(std::size_t i, std::int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  const std::string& string(std::size_t i) const;          // fails for what is not a str
  [[noreturn]] void fail(std::string_view message) const;  // names the callable
};

// Binds the arguments and calls. `arguments` is taken.
Value call_builtin(Runtime& rt, const Builtin& builtin, const Value& self, Arguments arguments);
Value call_function(Runtime& rt, const Function& function, Arguments arguments);

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);

// The tables. Null where no such name exists.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_method(const Value& object, std::string_view name);
Value find_global(std::string_view name);  // undefined-free: None where no such function exists

// The parts of the filter table, each in its own file.
std::span<const Builtin> text_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> select_filters();
// The methods by type.
std::span<const Builtin> string_methods();
std::span<const Builtin> string_split_methods();
std::span<const Builtin> sequence_methods();
std::span<const Builtin> dict_methods();

}  // namespace terrace::jinja
