// Values as text: Python's str() and repr(). Pure functions over one Runtime, which bounds the text.
#pragma once

#include <string>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

std::string format_float(double value);  // repr(float): the shortest digits that read back equal

void append_text(Runtime& rt, std::string& out, const Value& value);  // str()
void append_repr(Runtime& rt, std::string& out, const Value& value);  // repr()
std::string to_text(Runtime& rt, const Value& value);
std::string to_repr(Runtime& rt, const Value& value);

// list(value): the characters of a string, the keys of a dict, the rest of an iterator (which is used up).
Values to_items(Runtime& rt, const Value& value);
bool is_iterable(const Value& value);

// HTML's & < > ' " escaped, as markupsafe does.
std::string escape_html(std::string_view text);

}  // namespace terrace::jinja
