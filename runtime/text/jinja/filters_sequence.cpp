// Filters that take or give a sequence.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

Value fold_case(Call& call, const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? call.rt.string(to_lower(value.as_string())) : value;
}

bool less(Call& call, const Value& a, const Value& b) {
  call.rt.step();
  return compare(call.rt, Comparison::kLt, a, b);
}

// Items with the keys to order them by, sorted stably.
std::vector<std::pair<Value, Value>> sort_by(Call& call, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(call, b.first, a.first) : less(call, a.first, b.first);
  });
  return keyed;
}

Values seconds(std::vector<std::pair<Value, Value>> keyed) {
  Values out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

std::int64_t length_of(Call& call) {
  const Value& value = call.self;
  switch (value.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString: return static_cast<std::int64_t>(num_points(value.as_string()));
    case Kind::kList:
    case Kind::kTuple: return static_cast<std::int64_t>(value.items()->size());
    case Kind::kDict: return static_cast<std::int64_t>(value.as<const Dict>()->size());
    case Kind::kView: return static_cast<std::int64_t>(value.as<const View>()->dict->size());
    case Kind::kRange: return value.as<const Range>()->size();
    default: call.fail(fmt::format("does not work for a {}", type_name(value)));
  }
}

Value filter_length(Call& call) { return length_of(call); }
Value filter_list(Call& call) { return call.rt.list(to_items(call.rt, call.self)); }

Value filter_first(Call& call) {
  if (call.self.is(Kind::kIterator)) {
    Iterator& iterator = *call.self.as<Iterator>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
    return call.rt.undefined("No first item, sequence was empty.");
  }
  const Values items = to_items(call.rt, call.self);
  return items.empty() ? call.rt.undefined("No first item, sequence was empty.") : items.front();
}

Value filter_last(Call& call) {
  if (call.self.is(Kind::kIterator)) call.fail("does not work for a generator; make it a list");
  const Values items = to_items(call.rt, call.self);
  return items.empty() ? call.rt.undefined("No last item, sequence was empty.") : items.back();
}

Value filter_reverse(Call& call) {
  if (call.self.is_string()) {
    std::u32string points = to_points(call.self.as_string());
    std::reverse(points.begin(), points.end());
    return call.rt.string(from_points(points));
  }
  Values items = to_items(call.rt, call.self);
  std::reverse(items.begin(), items.end());
  return call.self.is(Kind::kIterator) ? call.rt.list(std::move(items)) : call.rt.iterator(std::move(items));
}

Value filter_join(Call& call) {
  const std::string between = call.has(0) ? to_text(call.rt, call.at(0)) : "";
  const AttributePath path(call.rt, call.value(1, None{}));
  std::string out;
  bool first = true;
  for (const Value& item : to_items(call.rt, call.self)) {
    if (!first) out += between;
    first = false;
    append_text(call.rt, out, path.get(call.rt, item));
  }
  return call.rt.string(std::move(out));
}

Value filter_items(Call& call) {
  if (call.self.is_undefined()) return call.rt.iterator({});
  if (!call.self.is(Kind::kDict)) call.fail(fmt::format("needs a dict, not a {}", type_name(call.self)));
  const View view{call.self.as<const Dict>(), View::kItems};
  return call.rt.iterator(to_items(call.rt, std::shared_ptr<const View>(std::make_shared<View>(view))));
}

Value filter_dictsort(Call& call) {
  if (!call.self.is(Kind::kDict)) call.fail(fmt::format("needs a dict, not a {}", type_name(call.self)));
  const std::string by = call.has(1) ? to_text(call.rt, call.at(1)) : "key";
  if (by != "key" && by != "value") call.fail("sorts by \"key\" or \"value\"");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : call.self.as<const Dict>()->entries()) {
    keyed.emplace_back(fold_case(call, by == "key" ? key : value, call.flag(0)), call.rt.tuple({key, value}));
  }
  return call.rt.list(seconds(sort_by(call, std::move(keyed), call.flag(2))));
}

// `attribute` may name several, with commas between.
Value filter_sort(Call& call) {
  std::vector<AttributePath> paths;
  if (call.has(2) && call.at(2).is_string()) {
    std::string_view rest = call.at(2).as_string();
    while (true) {
      const std::size_t comma = rest.find(',');
      paths.emplace_back(call.rt, call.rt.string(std::string(rest.substr(0, comma))));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.emplace_back(call.rt, call.value(2, None{}));
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : to_items(call.rt, call.self)) {
    Values key;
    for (const AttributePath& path : paths) key.push_back(fold_case(call, path.get(call.rt, item), call.flag(1)));
    keyed.emplace_back(call.rt.list(std::move(key)), item);
  }
  return call.rt.list(seconds(sort_by(call, std::move(keyed), call.flag(0))));
}

Value filter_unique(Call& call) {
  const AttributePath path(call.rt, call.value(1, None{}));
  Dict seen;
  Values out;
  for (const Value& item : to_items(call.rt, call.self)) {
    Value key = fold_case(call, path.get(call.rt, item), call.flag(0));
    if (call.rt.find(seen, key)) continue;
    call.rt.set(seen, std::move(key), None{});
    out.push_back(item);
  }
  return call.rt.iterator(std::move(out));
}

Value extreme(Call& call, bool greatest) {
  const AttributePath path(call.rt, call.value(1, None{}));
  const Values items = to_items(call.rt, call.self);
  if (items.empty()) return call.rt.undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  Value best_key = fold_case(call, path.get(call.rt, items[0]), call.flag(0));
  for (std::size_t i = 1; i < items.size(); ++i) {
    Value key = fold_case(call, path.get(call.rt, items[i]), call.flag(0));
    if (!compare(call.rt, greatest ? Comparison::kGt : Comparison::kLt, key, best_key)) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Value filter_min(Call& call) { return extreme(call, false); }
Value filter_max(Call& call) { return extreme(call, true); }

Value filter_sum(Call& call) {
  const AttributePath path(call.rt, call.value(0, None{}));
  Value total = call.value(1, std::int64_t{0});
  if (total.is_string()) call.fail("does not add strings; use join");
  for (const Value& item : to_items(call.rt, call.self)) {
    total = arithmetic(call.rt, Arithmetic::kAdd, total, path.get(call.rt, item));
  }
  return total;
}

Value filter_groupby(Call& call) {
  const AttributePath path(call.rt, call.at(0));
  const Value* otherwise = call.has(1) && !call.at(1).is_none() ? &call.at(1) : nullptr;
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : to_items(call.rt, call.self)) {
    keyed.emplace_back(fold_case(call, path.get(call.rt, item, otherwise), call.flag(2)), item);
  }
  keyed = sort_by(call, std::move(keyed), false);
  Values groups;
  for (std::size_t i = 0; i < keyed.size();) {
    Values members;
    const std::size_t begin = i;
    for (; i < keyed.size() && call.rt.same(keyed[i].first, keyed[begin].first); ++i)
      members.push_back(keyed[i].second);
    if (members.empty()) members.push_back(keyed[i++].second);  // a key unequal to itself (nan) is its own group
    Value key = call.flag(2) ? keyed[begin].first : path.get(call.rt, members[0], otherwise);
    groups.push_back(call.rt.tuple({std::move(key), call.rt.list(std::move(members))}, true));
  }
  return call.rt.list(std::move(groups));
}

Value filter_batch(Call& call) {
  const std::int64_t size = call.integer(0);
  const bool filled = call.has(1) && !call.at(1).is_none();
  if (size > static_cast<std::int64_t>(call.rt.limits().max_text / sizeof(Value))) call.fail("gets too large a size");
  Values batches, batch;
  for (const Value& item : to_items(call.rt, call.self)) {
    if (static_cast<std::int64_t>(batch.size()) == size) batches.push_back(call.rt.list(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (filled && static_cast<std::int64_t>(batch.size()) < size)
      batch.resize(static_cast<std::size_t>(size), call.at(1));
    batches.push_back(call.rt.list(std::move(batch)));
  }
  return call.rt.iterator(std::move(batches));
}

Value filter_slice(Call& call) {
  const Values items = to_items(call.rt, call.self);
  const std::int64_t slices = call.integer(0);
  if (slices == 0) call.fail("needs a number of slices that is not zero");
  call.rt.step(std::max<std::int64_t>(slices, 0));
  const auto size = static_cast<std::int64_t>(items.size());
  Values out;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < slices; ++i) {
    const std::int64_t end = begin + size / slices + (i < size % slices ? 1 : 0);
    Values slice(items.begin() + begin, items.begin() + end);
    if (call.has(1) && !call.at(1).is_none() && i >= size % slices) slice.push_back(call.at(1));
    out.push_back(call.rt.list(std::move(slice)));
    begin = end;
  }
  return call.rt.iterator(std::move(out));
}

Value filter_default(Call& call) {
  if (call.self.is_undefined() || (call.flag(1) && !is_true(call.self))) return call.value(0, call.rt.string(""));
  return call.self;
}

Value filter_attr(Call& call) {
  const auto found = find_attribute(call.rt, call.self, call.string(0));
  return found ? *found
               : call.rt.undefined(fmt::format("a {} has no attribute '{}'", type_name(call.self), call.string(0)));
}

constexpr Builtin kTable[] = {
    {"attr", "name", filter_attr},
    {"batch", "linecount fill_with?", filter_batch},
    {"count", "/", filter_length},
    {"d", "default_value? boolean?", filter_default},
    {"default", "default_value? boolean?", filter_default},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"first", "", filter_first},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"items", "", filter_items},
    {"join", "d? attribute?", filter_join},
    {"last", "", filter_last},
    {"length", "/", filter_length},
    {"list", "", filter_list},
    {"max", "case_sensitive? attribute?", filter_max},
    {"min", "case_sensitive? attribute?", filter_min},
    {"reverse", "", filter_reverse},
    {"slice", "slices fill_with?", filter_slice},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"sum", "attribute? start?", filter_sum},
    {"unique", "case_sensitive? attribute?", filter_unique},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kTable; }

}  // namespace terrace::jinja
