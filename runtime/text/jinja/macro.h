// A macro, or the `caller` of a call block: a statement list with parameters, and the scope that it sees. One render.
#pragma once

#include <memory>
#include <string>

namespace terrace::jinja {

struct MacroNode;
class Scope;

struct Macro {
  const MacroNode* node;
  std::shared_ptr<Scope> scope;
};

const std::string& macro_name(const Macro& macro);

}  // namespace terrace::jinja
