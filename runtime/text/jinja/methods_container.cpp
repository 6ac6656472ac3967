// Methods of list, tuple and dict: those that do not change them.
#include <algorithm>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/operators.h"

namespace terrace::jinja {
namespace {

Value method_count(Call& call) {
  std::int64_t count = 0;
  for (const Value& item : *call.self.items()) count += call.rt.same(item, call.at(0));
  return count;
}

Value method_index(Call& call) {
  const Values& items = *call.self.items();
  const auto size = static_cast<std::int64_t>(items.size());
  const auto bound = [&](std::size_t i, std::int64_t otherwise) {
    const std::int64_t at = call.integer(i, otherwise);
    return std::clamp<std::int64_t>(at < -size ? 0 : at < 0 ? at + size : at, 0, size);
  };
  for (std::int64_t i = bound(1, 0); i < bound(2, size); ++i) {
    if (call.rt.same(items[static_cast<std::size_t>(i)], call.at(0))) return i;
  }
  call.fail("does not find the item");
}

Value method_copy(Call& call) { return call.self; }  // values never change

Value method_get(Call& call) {
  const Value* found = call.rt.find(*call.self.as<const Dict>(), call.at(0));
  return found ? *found : call.value(1, None{});
}

template <View::Part part>
Value method_view(Call& call) {
  return std::shared_ptr<const View>(std::make_shared<View>(View{call.self.as<const Dict>(), part}));
}

constexpr Builtin kSequenceTable[] = {
    {"copy", "/", method_copy},
    {"count", "value /", method_count},
    {"index", "value start? stop? /", method_index},
};

constexpr Builtin kDictTable[] = {
    {"copy", "/", method_copy},
    {"get", "key default? /", method_get},
    {"items", "/", method_view<View::kItems>},
    {"keys", "/", method_view<View::kKeys>},
    {"values", "/", method_view<View::kValues>},
};

}  // namespace

std::span<const Builtin> sequence_methods() { return kSequenceTable; }
std::span<const Builtin> dict_methods() { return kDictTable; }

}  // namespace terrace::jinja
