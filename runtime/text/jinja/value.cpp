#include "runtime/text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "runtime/text/jinja/loop.h"

namespace terrace::jinja {
namespace {

constexpr std::int64_t kMaxCost = std::int64_t{1} << 60;
constexpr std::size_t kIndexFrom = 16;  // entries from which a dict keeps a hash index

bool equal_items(const Values& a, const Values& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal); }

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const Dict::Entry& entry) {
    const Value* other = b.find(entry.first);
    return other && equal(entry.second, *other);
  });
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.size() != b.size()) return false;
  return a.size() == 0 || (a.start == b.start && (a.size() == 1 || a.step == b.step));
}

// Keys and items views are sets: equal when they hold the same, in any order. Values views are only themselves.
bool equal_views(const View& a, const View& b) {
  if (a.part != b.part || a.part == View::kValues) return &a == &b;
  if (a.part == View::kItems) return equal_dicts(*a.dict, *b.dict);
  return a.dict->size() == b.dict->size() && std::all_of(a.dict->entries().begin(), a.dict->entries().end(),
                                                         [&](auto& entry) { return b.dict->find(entry.first); });
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
  const auto wide = [](const Value& v) {  // 64-bit integers are exact in a long double
    return v.is(Kind::kFloat) ? static_cast<long double>(v.as_double()) : static_cast<long double>(v.as_int());
  };
  return wide(a) == wide(b);
}

std::size_t hash_number(const Value& value) {
  if (value.is_integral()) return std::hash<std::int64_t>()(value.as_int());
  const double d = value.as_double();
  const bool fits = std::floor(d) == d && std::fabs(d) < 9.2e18;
  return fits ? std::hash<std::int64_t>()(static_cast<std::int64_t>(d)) : std::hash<double>()(d);
}

}  // namespace

const std::string& Value::as_string() const { return as<const Text>()->bytes; }

const Values* Value::items() const {
  if (is(Kind::kList)) return &as<const List>()->items;
  if (is(Kind::kTuple)) return &as<const Tuple>()->items;
  return nullptr;
}

const void* Value::identity() const {
  return std::visit(
      [](const auto& v) -> const void* {
        if constexpr (requires { v.get(); }) return v.get();
        return nullptr;
      },
      data_);
}

Extent Value::extent() const {
  switch (kind()) {
    case Kind::kString: return {0, 1 + static_cast<std::int64_t>(as_string().size() / 32)};
    case Kind::kList: return as<const List>()->extent;
    case Kind::kTuple: return as<const Tuple>()->extent;
    case Kind::kDict: return as<const Dict>()->extent();
    case Kind::kView: return as<const View>()->dict->extent();
    case Kind::kIterator: return as<Iterator>()->extent;
    case Kind::kLoop: return as<Loop>()->extent;
    case Kind::kFunction: return as<const Function>()->self.extent();
    default: return {};  // scalars, and objects whose lifetime the Runtime keeps flat (namespaces, macros)
  }
}

void Extent::hold(const Value& value) {
  const Extent other = value.extent();
  depth = std::max(depth, other.depth + 1);
  cost = std::min(cost + other.cost, kMaxCost);
}

std::size_t Dict::index_of(const Value& key, std::size_t hash) const {
  if (index_.empty()) {
    const auto it =
        std::find_if(entries_.begin(), entries_.end(), [&](auto& entry) { return equal(entry.first, key); });
    return static_cast<std::size_t>(it - entries_.begin());
  }
  const auto [first, last] = index_.equal_range(hash);
  const auto it = std::find_if(first, last, [&](auto& slot) { return equal(entries_[slot.second].first, key); });
  return it == last ? entries_.size() : it->second;
}

const Value* Dict::find(const Value& key) const {
  const std::size_t at = index_of(key, index_.empty() ? 0 : hash(key));
  return at == entries_.size() ? nullptr : &entries_[at].second;
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) return find(make_string(std::string(key)));
  for (const auto& [name, value] : entries_) {
    if (name.is_string() && name.as_string() == key) return &value;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  extent_.hold(key);
  extent_.hold(value);
  const std::size_t h = entries_.size() + 1 >= kIndexFrom ? hash(key) : 0;
  const std::size_t at = index_of(key, h);
  if (at < entries_.size()) {
    entries_[at].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() < kIndexFrom) return;
  if (!index_.empty()) {
    index_.emplace(h, entries_.size() - 1);
    return;
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash(entries_[i].first), i);
}

std::int64_t Range::size() const {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const std::uint64_t span = step > 0 ? static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start)
                                      : static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop);
  const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : -static_cast<std::uint64_t>(step);
  return static_cast<std::int64_t>(std::min<std::uint64_t>((span - 1) / stride + 1, INT64_MAX));
}

Value* Namespace::find(std::string_view name) {
  const auto it = std::find_if(attributes.begin(), attributes.end(), [&](auto& a) { return a.first == name; });
  return it == attributes.end() ? nullptr : &it->second;
}

void Namespace::set(std::string_view name, Value value) {
  if (Value* old = find(name)) {
    *old = std::move(value);
  } else {
    attributes.emplace_back(std::string(name), std::move(value));
  }
}

Value make_string(std::string text, bool safe) {
  return std::shared_ptr<const Text>(std::make_shared<Text>(Text{std::move(text), safe}));
}

bool is_hashable(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kDict: return false;
    case Kind::kView: return value.as<const View>()->part == View::kValues;
    case Kind::kTuple: return std::all_of(value.items()->begin(), value.items()->end(), is_hashable);
    default: return true;
  }
}

std::size_t hash(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
    case Kind::kUndefined: return static_cast<std::size_t>(value.kind()) + 0x9E3779B9;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat: return hash_number(value);
    case Kind::kString: return std::hash<std::string_view>()(value.as_string());
    case Kind::kTuple: {
      std::size_t mixed = 0x345678;
      for (const Value& item : *value.items()) mixed = (mixed ^ hash(item)) * 1000003;
      return mixed;
    }
    case Kind::kRange: return static_cast<std::size_t>(value.as<const Range>()->size());
    default: return std::hash<const void*>()(value.identity());
  }
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
    case Kind::kUndefined: return false;
    case Kind::kBool:
    case Kind::kInt: return value.as_int() != 0;
    case Kind::kFloat: return value.as_double() != 0;
    case Kind::kString: return !value.as_string().empty();
    case Kind::kList:
    case Kind::kTuple: return !value.items()->empty();
    case Kind::kDict: return value.as<const Dict>()->size() != 0;
    case Kind::kRange: return value.as<const Range>()->size() != 0;
    case Kind::kView: return value.as<const View>()->dict->size() != 0;
    case Kind::kLoop: return !value.as<Loop>()->items.empty();
    default: return true;
  }
}

const char* type_name(const Value& value) {
  static constexpr const char* kNames[] = {"None",      "undefined", "bool", "int",     "float",     "str",
                                           "list",      "tuple",     "dict", "range",   "dict view", "generator",
                                           "namespace", "macro",     "loop", "function"};
  return kNames[static_cast<int>(value.kind())];
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kNone:
    case Kind::kUndefined: return true;
    case Kind::kString: return a.as_string() == b.as_string();
    case Kind::kList:
    case Kind::kTuple: return a.identity() == b.identity() || equal_items(*a.items(), *b.items());
    case Kind::kDict: return a.identity() == b.identity() || equal_dicts(*a.as<const Dict>(), *b.as<const Dict>());
    case Kind::kRange: return equal_ranges(*a.as<const Range>(), *b.as<const Range>());
    case Kind::kView: return equal_views(*a.as<const View>(), *b.as<const View>());
    default: return a.identity() == b.identity();
  }
}

}  // namespace terrace::jinja
