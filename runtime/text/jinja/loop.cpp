#include "runtime/text/jinja/loop.h"

#include <algorithm>

#include "runtime/text/jinja/call.h"

namespace terrace::jinja {
namespace {

Value cycle(Call& call) {
  const Loop& loop = *call.self.as<Loop>();
  if (call.rest.positional.empty()) call.fail("needs values to cycle through");
  return call.rest.positional[loop.index0 % call.rest.positional.size()];
}

Value changed(Call& call) {
  const std::shared_ptr<Loop>& loop = call.self.as<Loop>();
  const Values& values = call.rest.positional;
  const bool same = loop->has_changed_value && values.size() == loop->changed_value.size() &&
                    std::equal(values.begin(), values.end(), loop->changed_value.begin(),
                               [&](const Value& a, const Value& b) { return call.rt.same(a, b); });
  if (same) return false;
  if (!loop->has_changed_value) call.rt.keep(loop);
  loop->has_changed_value = true;
  loop->changed_value = values;
  return true;
}

Value neighbour(Runtime& rt, const Loop& loop, bool exists, std::size_t index, const char* which) {
  return exists ? loop.items[index] : rt.undefined(std::string("there is no ") + which + " item");
}

}  // namespace

bool loop_attribute(Runtime& rt, const std::shared_ptr<Loop>& loop, std::string_view name, Value& out) {
  const auto index0 = static_cast<std::int64_t>(loop->index0);
  const auto length = static_cast<std::int64_t>(loop->items.size());
  const auto method = [&](const char* method_name, Callee callee) {
    return std::shared_ptr<const Function>(std::make_shared<Function>(Function{method_name, "*", callee, loop}));
  };
  if (name == "index")
    out = index0 + 1;
  else if (name == "index0")
    out = index0;
  else if (name == "revindex")
    out = length - index0;
  else if (name == "revindex0")
    out = length - index0 - 1;
  else if (name == "first")
    out = index0 == 0;
  else if (name == "last")
    out = index0 + 1 >= length;
  else if (name == "length")
    out = length;
  else if (name == "depth")
    out = static_cast<std::int64_t>(loop->depth0 + 1);
  else if (name == "depth0")
    out = static_cast<std::int64_t>(loop->depth0);
  else if (name == "previtem")
    out = neighbour(rt, *loop, index0 > 0, loop->index0 - 1, "previous");
  else if (name == "nextitem")
    out = neighbour(rt, *loop, index0 + 1 < length, loop->index0 + 1, "next");
  else if (name == "cycle")
    out = method("loop.cycle()", cycle);
  else if (name == "changed")
    out = method("loop.changed()", changed);
  else
    return false;
  return true;
}

}  // namespace terrace::jinja
