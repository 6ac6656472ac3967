// The `loop` variable of a for statement. Belongs to one render; changed by the interpreter as the loop goes on.
#pragma once

#include <memory>

#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

struct ForNode;
class Scope;

struct Loop {
  Values items;
  Extent extent;
  std::size_t index0 = 0;
  int depth0 = 0;                  // how many recursive calls of the loop are around this one
  const ForNode* node = nullptr;   // set for a recursive loop: loop(items) runs its body again
  std::shared_ptr<Scope> outside;  // the scope around a recursive loop
  bool has_changed_value = false;
  Values changed_value;  // the arguments of the last loop.changed()
};

// index, index0, revindex, revindex0, first, last, length, depth, depth0, previtem, nextitem, cycle, changed;
// false for other names.
bool loop_attribute(Runtime& rt, const std::shared_ptr<Loop>& loop, std::string_view name, Value& out);

}  // namespace terrace::jinja
