// The values of a template, with the meanings of Python: numbers, strings, lists, tuples, dicts and the objects that
// only templates see (undefined, range, dict views, iterators, namespaces, macros, loops, functions).
// Owned by reference counts; one render, one thread. Everything but Namespace, Iterator and Loop is immutable once
// made, as in jinja2's ImmutableSandboxedEnvironment. Does no I/O and no arithmetic (operators.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace terrace::jinja {

class Dict;
struct Function;
struct Iterator;
struct List;
struct Loop;
struct Macro;
struct Namespace;
struct Range;
struct Text;
struct Tuple;
struct Undefined;
struct View;

class Value;
struct None {};

enum class Kind : std::uint8_t {  // in the order of Value's alternatives
  kNone,
  kUndefined,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,
  kIterator,
  kNamespace,
  kMacro,
  kLoop,
  kFunction,
};

// How deep a value nests and how much going through all of it costs (a list that holds one list twice counts it twice).
struct Extent {
  int depth = 0;
  std::int64_t cost = 1;  // steps of the Runtime; saturates
  void hold(const Value& value);
};

class Value {
 public:
  Value() = default;  // None
  Value(None) {}      // NOLINT(google-explicit-constructor)
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(double v) : data_(v) {}
  template <class T>
  Value(std::shared_ptr<T> v) : data_(std::shared_ptr<T>(std::move(v))) {}

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_none() const { return is(Kind::kNone); }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_string() const { return is(Kind::kString); }
  bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }  // bool is an int in Python
  bool is_number() const { return is_integral() || is(Kind::kFloat); }

  // Each asks for the kind that it names.
  bool as_bool() const { return std::get<bool>(data_); }
  std::int64_t as_int() const { return is(Kind::kBool) ? as_bool() : std::get<std::int64_t>(data_); }
  double as_double() const { return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(as_int()); }
  const std::string& as_string() const;
  template <class T>
  const std::shared_ptr<T>& as() const {
    return std::get<std::shared_ptr<T>>(data_);
  }

  const std::vector<Value>* items() const;  // of a list or tuple, else null
  const void* identity() const;             // of an object, else null
  Extent extent() const;

 private:
  std::variant<None, std::shared_ptr<const Undefined>, bool, std::int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const List>, std::shared_ptr<const Tuple>, std::shared_ptr<const Dict>,
               std::shared_ptr<const Range>, std::shared_ptr<const View>, std::shared_ptr<Iterator>,
               std::shared_ptr<Namespace>, std::shared_ptr<const Macro>, std::shared_ptr<Loop>,
               std::shared_ptr<const Function>>
      data_;
};

using Values = std::vector<Value>;

// Deeper nesting of containers is refused when they are made, so that destroying, comparing and printing a value
// recurse at most so deep.
constexpr int kMaxNesting = 200;

struct Undefined {
  std::string message;  // what an operation on it fails with
};

struct Text {
  std::string bytes;  // valid UTF-8
  bool safe = false;  // made by |escape or |safe: adding a plain string to it escapes that string
};

struct List {
  Values items;
  Extent extent;
};

struct Tuple {
  Values items;
  Extent extent;
  bool is_group = false;  // of |groupby: has the attributes grouper and list
};

// Keeps insertion order; keys are hashable values, equal as in Python (1, 1.0 and true are one key).
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  const Extent& extent() const { return extent_; }

  const Value* find(const Value& key) const;  // asks for a hashable key
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);  // asks for a hashable key; replaces the value of an equal one

 private:
  std::size_t index_of(const Value& key, std::size_t hash) const;  // size() when absent

  std::vector<Entry> entries_;
  std::unordered_multimap<std::size_t, std::size_t> index_;  // hash -> entry, once there are many entries
  Extent extent_{1, 1};
};

struct Range {
  std::int64_t start, stop, step;
  std::int64_t size() const;
  Value at(std::int64_t index) const { return start + index * step; }
};

struct View {
  enum Part { kKeys, kValues, kItems };
  std::shared_ptr<const Dict> dict;
  Part part;
};

// What a Python generator is to a template: can be gone through once, has no length and no items. Its items are made
// at once, so an error among them is raised even where jinja2 would never have come to it.
struct Iterator {
  Values items;
  std::size_t next = 0;
  Extent extent;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

class Runtime;
struct Call;
using Callee = Value (*)(Call&);

struct Function {  // a global function, or a method bound to `self`
  const char* name;
  const char* parameters;  // see call.h
  Callee callee;
  Value self;
};

Value make_string(std::string text, bool safe = false);
bool is_hashable(const Value& value);
std::size_t hash(const Value& value);  // asks for a hashable value
bool is_true(const Value& value);      // as Python's bool()
const char* type_name(const Value& value);

// Python's ==. Never fails.
bool equal(const Value& a, const Value& b);

}  // namespace terrace::jinja
