#include "runtime/text/jinja/runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/text/jinja/loop.h"
#include "runtime/text/jinja/scope.h"

namespace terrace::jinja {

void fail_at_line(int line, std::string_view message) {
  throw Error(ErrorCode::kInvalidValue, fmt::format("chat template, line {}: {}", line, message));
}

// Everything is emptied before anything is destroyed, so that a long chain of namespaces does not recurse.
Runtime::~Runtime() {
  for (const auto& space : namespaces_) space->attributes.clear();
  for (const auto& scope : scopes_) scope->clear();
  for (const auto& loop : loops_) loop->changed_value.clear();
}

void Runtime::fail_too_long() const {
  fail(fmt::format("rendering takes more than {} steps; the template loops over too much", limits_.max_steps));
}

void Runtime::fail_too_deep() {
  --recursion_;  // the guard that failed is never destroyed
  fail(fmt::format("more than {} nested evaluations; the template or one of its macros recurses too deep",
                   limits_.max_recursion));
}

void Runtime::reserve_text(std::size_t bytes) {
  if (bytes > limits_.max_text)
    fail(fmt::format("a text of {} bytes is over the limit of {}", bytes, limits_.max_text));
  step(static_cast<std::int64_t>(bytes / 32));
  reserve(bytes);
}

void Runtime::reserve(std::size_t bytes) {
  made_ += static_cast<std::int64_t>(std::min<std::size_t>(bytes, std::size_t{1} << 60));
  if (made_ > limits_.max_made) fail(fmt::format("rendering makes more than {} bytes of values", limits_.max_made));
}

Value Runtime::string(std::string text, bool safe) {
  reserve_text(text.size());
  return make_string(std::move(text), safe);
}

Extent Runtime::measure(const Values& items) {
  step(static_cast<std::int64_t>(items.size()));
  reserve(items.size() * sizeof(Value) + sizeof(List));
  Extent extent{1, 1};
  for (const Value& item : items) extent.hold(item);
  if (extent.depth > kMaxNesting) fail(fmt::format("values nest more than {} levels deep", kMaxNesting));
  return extent;
}

Value Runtime::list(Values items) {
  const Extent extent = measure(items);
  return std::shared_ptr<const List>(std::make_shared<List>(List{std::move(items), extent}));
}

Value Runtime::tuple(Values items, bool is_group) {
  const Extent extent = measure(items);
  return std::shared_ptr<const Tuple>(std::make_shared<Tuple>(Tuple{std::move(items), extent, is_group}));
}

Value Runtime::iterator(Values items) {
  const Extent extent = measure(items);
  return std::make_shared<Iterator>(Iterator{std::move(items), 0, extent});
}

Value Runtime::dict(Dict dict) {
  reserve(dict.size() * sizeof(Dict::Entry) + sizeof(Dict));
  if (dict.extent().depth > kMaxNesting) fail(fmt::format("values nest more than {} levels deep", kMaxNesting));
  return std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict)));
}

Value Runtime::undefined(std::string message) {
  return std::shared_ptr<const Undefined>(std::make_shared<Undefined>(Undefined{std::move(message)}));
}

Value Runtime::name_space() {
  reserve(sizeof(Namespace));
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

bool Runtime::same(const Value& a, const Value& b) {
  step(std::min(a.extent().cost, b.extent().cost));
  return equal(a, b);
}

const Value* Runtime::find(const Dict& dict, const Value& key) {
  if (!is_hashable(key)) fail(fmt::format("a {} cannot be a key of a dict", type_name(key)));
  step(key.extent().cost);
  return dict.find(key);
}

void Runtime::set(Dict& dict, Value key, Value value) {
  if (!is_hashable(key)) fail(fmt::format("a {} cannot be a key of a dict", type_name(key)));
  step(key.extent().cost);
  dict.set(std::move(key), std::move(value));
}

}  // namespace terrace::jinja
