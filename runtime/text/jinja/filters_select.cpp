// Filters that apply another filter or a test to each item: map, select, reject, selectattr, rejectattr.
#include <fmt/format.h>

#include <optional>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {
namespace {

// The arguments behind the first `count` ones: those of the inner filter or test.
Arguments inner_arguments(const Call& call, std::size_t count) {
  Arguments inner = call.rest;
  inner.positional.erase(inner.positional.begin(), inner.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return inner;
}

const Builtin& need(Call& call, const Value& name, const Builtin* (*find)(std::string_view), const char* what) {
  const Builtin* found = name.is_string() ? find(name.as_string()) : nullptr;
  if (!found) call.fail(fmt::format("does not know the {} {}", what, to_repr(call.rt, name)));
  return *found;
}

Value map_attribute(Call& call, const Value& attribute) {
  const Value* otherwise = call.rest.find("default");
  if (call.rest.keyword.size() > (otherwise ? 2u : 1u)) call.fail("gets a keyword argument that it does not know");
  const AttributePath path(call.rt, attribute);
  const Value* used = otherwise && !otherwise->is_none() ? otherwise : nullptr;
  Values out;
  for (const Value& item : to_items(call.rt, call.self)) out.push_back(path.get(call.rt, item, used));
  return call.rt.iterator(std::move(out));
}

Value filter_map(Call& call) {
  if (!is_true(call.self)) return call.rt.iterator({});
  const Value* attribute = call.rest.find("attribute");
  if (call.rest.positional.empty() && attribute) return map_attribute(call, *attribute);
  if (call.rest.positional.empty()) call.fail("needs the name of a filter, or attribute=");
  const Builtin& filter = need(call, call.rest.positional[0], find_filter, "filter");
  Values out;
  for (const Value& item : to_items(call.rt, call.self)) {
    out.push_back(call_builtin(call.rt, filter, item, inner_arguments(call, 1)));
  }
  return call.rt.iterator(std::move(out));
}

Value select(Call& call, bool wanted, bool by_attribute) {
  if (!is_true(call.self)) return call.rt.iterator({});
  const std::size_t test_at = by_attribute ? 1 : 0;
  if (by_attribute && call.rest.positional.empty()) call.fail("needs the name of an attribute");
  const AttributePath path(call.rt, by_attribute ? call.rest.positional[0] : Value());
  const bool has_test = call.rest.positional.size() > test_at;
  const Builtin* test = has_test ? &need(call, call.rest.positional[test_at], find_test, "test") : nullptr;
  Values out;
  for (const Value& item : to_items(call.rt, call.self)) {
    Value value = path.get(call.rt, item);
    if (test) value = call_builtin(call.rt, *test, value, inner_arguments(call, test_at + 1));
    if (is_true(value) == wanted) out.push_back(item);
  }
  return call.rt.iterator(std::move(out));
}

Value filter_select(Call& call) { return select(call, true, false); }
Value filter_reject(Call& call) { return select(call, false, false); }
Value filter_selectattr(Call& call) { return select(call, true, true); }
Value filter_rejectattr(Call& call) { return select(call, false, true); }

constexpr Builtin kTable[] = {
    {"map", "*", filter_map},       {"reject", "*", filter_reject},         {"rejectattr", "*", filter_rejectattr},
    {"select", "*", filter_select}, {"selectattr", "*", filter_selectattr},
};

}  // namespace

std::span<const Builtin> select_filters() { return kTable; }

}  // namespace terrace::jinja
