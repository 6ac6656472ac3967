#include "runtime/text/jinja/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/loop.h"
#include "runtime/text/jinja/macro.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

bool changes_object(const Value& object, std::string_view name) {
  static constexpr std::array kList = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};
  static constexpr std::array kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is(Kind::kList)) return std::find(kList.begin(), kList.end(), name) != kList.end();
  if (object.is(Kind::kDict)) return std::find(kDict.begin(), kDict.end(), name) != kDict.end();
  return false;
}

Value no_attribute(Runtime& rt, const Value& object, std::string_view name) {
  return rt.undefined(fmt::format("a {} has no attribute or item '{}'", type_name(object), name));
}

// The item with an int key. Nothing for other keys and outside of the bounds.
std::optional<Value> find_index(const Value& object, const Value& key) {
  if (!key.is_integral()) return std::nullopt;
  std::int64_t size = 0;
  if (object.is_string()) {
    size = static_cast<std::int64_t>(num_points(object.as_string()));
  } else if (object.items()) {
    size = static_cast<std::int64_t>(object.items()->size());
  } else if (object.is(Kind::kRange)) {
    size = object.as<const Range>()->size();
  }
  const std::int64_t index = key.as_int() < 0 ? key.as_int() + size : key.as_int();
  if (index < 0 || index >= size) return std::nullopt;
  if (object.is(Kind::kRange)) return object.as<const Range>()->at(index);
  if (object.items()) return (*object.items())[static_cast<std::size_t>(index)];
  const std::string& text = object.as_string();
  const std::size_t begin = point_offset(text, static_cast<std::size_t>(index));
  std::size_t end = begin;
  decode_point(text, end);
  return make_string(text.substr(begin, end - begin));
}

std::optional<Value> find_item(Runtime& rt, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    if (!is_hashable(key)) return std::nullopt;
    const Value* found = rt.find(*object.as<const Dict>(), key);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (object.is_string()) rt.step(object.extent().cost);
  return find_index(object, key);
}

struct Span {  // the resolved bounds of a slice: begin, begin + step, ... until end is reached or passed
  std::int64_t begin, end, step;
  std::int64_t size() const { return Range{begin, end, step}.size(); }
};

std::int64_t bound(Runtime& rt, const Value& value, std::int64_t otherwise, std::int64_t size, bool down) {
  if (value.is_none()) return otherwise;
  if (!value.is_integral()) rt.fail(fmt::format("a slice needs integers, not a {}", type_name(value)));
  std::int64_t at = value.as_int();
  if (at < 0) at = at < -size ? -1 : at + size;
  return std::clamp<std::int64_t>(at, down ? -1 : 0, down ? size - 1 : size);
}

Span resolve(Runtime& rt, const Value& start, const Value& stop, const Value& step, std::int64_t size) {
  if (!step.is_none() && !step.is_integral()) rt.fail(fmt::format("a slice's step cannot be a {}", type_name(step)));
  // A longer stride than the size selects the same items, and cannot overflow.
  const std::int64_t stride = step.is_none() ? 1 : std::clamp(step.as_int(), -size - 1, size + 1);
  if (stride == 0) rt.fail("a slice's step cannot be zero");
  const bool down = stride < 0;
  return {bound(rt, start, down ? size - 1 : 0, size, down), bound(rt, stop, down ? -1 : size, size, down), stride};
}

Value slice_range(const Range& range, const Span& span) {
  const std::int64_t first = span.size() == 0 ? 0 : range.at(span.begin).as_int();
  Range part{first, first + span.size(), 1};
  if (span.size() > 1) {  // else the step, which no item follows, might overflow
    part.step = range.step * span.step;
    part.stop = range.at(span.end).as_int();
  }
  return std::shared_ptr<const Range>(std::make_shared<Range>(part));
}

Value slice_string(Runtime& rt, const std::string& text, const Value& start, const Value& stop, const Value& step) {
  rt.step(static_cast<std::int64_t>(text.size() / 32));
  const Span span = resolve(rt, start, stop, step, static_cast<std::int64_t>(num_points(text)));
  if (span.size() == 0) return make_string("");
  if (span.step == 1) {
    const std::size_t begin = point_offset(text, static_cast<std::size_t>(span.begin));
    const std::string_view rest = std::string_view(text).substr(begin);
    return rt.string(std::string(rest.substr(0, point_offset(rest, static_cast<std::size_t>(span.size())))));
  }
  rt.reserve_text(text.size() * sizeof(char32_t));
  const std::u32string points = to_points(text);
  std::string out;
  for (std::int64_t i = 0; i < span.size(); ++i) {
    append_utf8(out, points[static_cast<std::size_t>(span.begin + i * span.step)]);
  }
  return rt.string(std::move(out));
}

}  // namespace

std::optional<Value> find_attribute(Runtime& rt, const Value& object, std::string_view name) {
  need_defined(rt, object);
  if (object.is(Kind::kNamespace)) {
    const Value* found = object.as<Namespace>()->find(name);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (object.is(Kind::kLoop)) {
    Value out;
    return loop_attribute(rt, object.as<Loop>(), name, out) ? std::optional<Value>(out) : std::nullopt;
  }
  if (object.is(Kind::kTuple) && object.as<const Tuple>()->is_group && (name == "grouper" || name == "list")) {
    return (*object.items())[name == "list"];
  }
  if (object.is(Kind::kMacro) && name == "name") return rt.string(macro_name(*object.as<const Macro>()));
  const Builtin* method = find_method(object, name);
  if (!method) return std::nullopt;
  return std::shared_ptr<const Function>(
      std::make_shared<Function>(Function{method->name, method->parameters, method->callee, object}));
}

Value get_attribute(Runtime& rt, const Value& object, std::string_view name) {
  if (const auto found = find_attribute(rt, object, name)) return *found;
  if (changes_object(object, name)) {
    return rt.undefined(fmt::format("'{}' would change a {}, which templates may not do", name, type_name(object)));
  }
  if (object.is(Kind::kDict)) {
    rt.step();
    if (const Value* found = object.as<const Dict>()->find(name)) return *found;
  }
  return no_attribute(rt, object, name);
}

Value get_item(Runtime& rt, const Value& object, const Value& key) {
  need_defined(rt, object);
  if (const auto found = find_item(rt, object, key)) return *found;
  if (!key.is_string()) return rt.undefined(fmt::format("a {} has no such item", type_name(object)));
  if (const auto found = find_attribute(rt, object, key.as_string())) return *found;
  return no_attribute(rt, object, key.as_string());
}

Value get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step) {
  need_defined(rt, object);
  if (object.is_string()) return slice_string(rt, object.as_string(), start, stop, step);
  if (object.is(Kind::kRange)) {
    return slice_range(*object.as<const Range>(), resolve(rt, start, stop, step, object.as<const Range>()->size()));
  }
  if (!object.items()) rt.fail(fmt::format("a {} cannot be sliced", type_name(object)));
  const Span span = resolve(rt, start, stop, step, static_cast<std::int64_t>(object.items()->size()));
  Values items;
  for (std::int64_t i = 0; i < span.size(); ++i) {
    items.push_back((*object.items())[static_cast<std::size_t>(span.begin + i * span.step)]);
  }
  return object.is(Kind::kList) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

AttributePath::AttributePath(Runtime& rt, const Value& path) {
  if (path.is_none()) return;
  if (!path.is_string()) {
    parts_.push_back(path);
    return;
  }
  std::string_view rest = path.as_string();
  for (bool more = true; more;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool is_number = error == std::errc() && end == part.data() + part.size() && part[0] != '-';
    parts_.push_back(is_number ? Value(number) : rt.string(std::string(part)));
  }
}

Value AttributePath::get(Runtime& rt, Value object, const Value* otherwise) const {
  for (const Value& part : parts_) {
    object = get_item(rt, object, part);
    if (otherwise && object.is_undefined()) object = *otherwise;
  }
  return object;
}

}  // namespace terrace::jinja
