// Template source to syntax tree, with jinja2's grammar, the loopcontrols extension and {% generation %}.
#pragma once

#include <memory>
#include <string_view>

#include "runtime/text/jinja/ast.h"

namespace terrace::jinja {

// Throws kInvalidValue with the line where the source is no template, nests too deep, or asks for other templates
// (extends, include, import: a chat template stands alone).
Template parse_template(std::string_view source);

}  // namespace terrace::jinja
