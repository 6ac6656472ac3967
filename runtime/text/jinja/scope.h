// The variables of one scope of a template: a loop round, a macro call, a block. Names are the template's symbol
// numbers. One render, one thread. Does not know which statement it belongs to.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent = nullptr) : parent_(std::move(parent)) {}

  // The innermost value of the name; null when no scope has one.
  const Value* find(int name) const {
    for (const Scope* scope = this; scope; scope = scope->parent_.get()) {
      for (const auto& [known, value] : scope->variables_) {
        if (known == name) return &value;
      }
    }
    return nullptr;
  }

  void set(int name, Value value) {
    const auto it = std::find_if(variables_.begin(), variables_.end(), [&](auto& v) { return v.first == name; });
    if (it == variables_.end()) {
      variables_.emplace_back(name, std::move(value));
    } else {
      it->second = std::move(value);
    }
  }

  void clear() { variables_.clear(); }

  // True the first time: a macro begins to refer to this scope.
  bool begin_capture() { return !std::exchange(captured_, true); }

 private:
  std::shared_ptr<Scope> parent_;
  bool captured_ = false;
  std::vector<std::pair<int, Value>> variables_;
};

}  // namespace terrace::jinja
