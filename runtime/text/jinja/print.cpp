#include "runtime/text/jinja/print.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "runtime/text/jinja/loop.h"
#include "runtime/text/jinja/macro.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (std::size_t pos = 0; pos < text.size();) {
    const char32_t c = decode_point(text, pos);
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c >= 0x20 && c < 0x7F) {
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else {
      const auto code = static_cast<std::uint32_t>(c);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
  }
  out += quote;
}

void check_size(Runtime& rt, const std::string& out) {
  rt.step();
  if (out.size() > rt.limits().max_text) rt.reserve_text(out.size());  // fails with its sentence
}

void append_items(Runtime& rt, std::string& out, const Values& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(rt, out, items[i]);
    check_size(rt, out);
  }
}

void append_entries(Runtime& rt, std::string& out, const Dict& dict, View::Part part, const char* between) {
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out += ", ";
    first = false;
    if (part != View::kValues) append_repr(rt, out, key);
    if (part == View::kItems) out += between;
    if (part != View::kKeys) append_repr(rt, out, value);
    check_size(rt, out);
  }
}

void append_view(Runtime& rt, std::string& out, const View& view) {
  if (view.part == View::kItems) {
    out += "dict_items([";
    bool first = true;
    for (const auto& [key, value] : view.dict->entries()) {
      out += first ? "(" : ", (";
      first = false;
      append_items(rt, out, {key, value});
      out += ')';
    }
  } else {
    out += view.part == View::kKeys ? "dict_keys([" : "dict_values([";
    append_entries(rt, out, *view.dict, view.part, "");
  }
  out += "])";
}

void append_namespace(Runtime& rt, std::string& out, const Namespace& space) {
  out += "<Namespace {";
  for (std::size_t i = 0; i < space.attributes.size(); ++i) {
    if (i > 0) out += ", ";
    append_quoted(out, space.attributes[i].first);
    out += ": ";
    append_repr(rt, out, space.attributes[i].second);
    check_size(rt, out);
  }
  out += "}>";
}

void append_range(std::string& out, const Range& range) {
  out += fmt::format("range({}, {}", range.start, range.stop);
  out += range.step == 1 ? ")" : fmt::format(", {})", range.step);
}

}  // namespace

// Python writes an exponent when it is below -4 or from 16 on.
std::string format_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  std::string out = text[0] == '-' ? "-" : "";
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void append_repr(Runtime& rt, std::string& out, const Value& value) {
  const Runtime::Nesting nesting(rt);
  switch (value.kind()) {
    case Kind::kNone: out += "None"; break;
    case Kind::kUndefined: out += "Undefined"; break;
    case Kind::kBool: out += value.as_bool() ? "True" : "False"; break;
    case Kind::kInt: out += std::to_string(value.as_int()); break;
    case Kind::kFloat: out += format_float(value.as_double()); break;
    case Kind::kString: {
      const Text& text = *value.as<const Text>();
      if (text.safe) out += "Markup(";
      append_quoted(out, text.bytes);
      if (text.safe) out += ')';
      break;
    }
    case Kind::kList:
      out += '[';
      append_items(rt, out, *value.items());
      out += ']';
      break;
    case Kind::kTuple:
      out += '(';
      append_items(rt, out, *value.items());
      out += value.items()->size() == 1 ? ",)" : ")";
      break;
    case Kind::kDict:
      out += '{';
      append_entries(rt, out, *value.as<const Dict>(), View::kItems, ": ");
      out += '}';
      break;
    case Kind::kRange: append_range(out, *value.as<const Range>()); break;
    case Kind::kView: append_view(rt, out, *value.as<const View>()); break;
    case Kind::kIterator: out += "<generator object>"; break;
    case Kind::kNamespace: append_namespace(rt, out, *value.as<Namespace>()); break;
    case Kind::kMacro: out += fmt::format("<Macro '{}'>", macro_name(*value.as<const Macro>())); break;
    case Kind::kLoop: {
      const Loop& loop = *value.as<Loop>();
      out += fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.items.size());
      break;
    }
    case Kind::kFunction: out += fmt::format("<function {}>", value.as<const Function>()->name); break;
  }
}

void append_text(Runtime& rt, std::string& out, const Value& value) {
  if (value.is_string()) {
    out += value.as_string();
  } else if (!value.is_undefined()) {
    append_repr(rt, out, value);
  }
  check_size(rt, out);
}

std::string to_text(Runtime& rt, const Value& value) {
  if (value.is_string()) rt.reserve_text(value.as_string().size());
  std::string out;
  append_text(rt, out, value);
  return out;
}

std::string to_repr(Runtime& rt, const Value& value) {
  std::string out;
  append_repr(rt, out, value);
  check_size(rt, out);
  return out;
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
    case Kind::kNamespace:
    case Kind::kMacro:
    case Kind::kFunction: return false;
    default: return true;
  }
}

namespace {

Values to_characters(Runtime& rt, const std::string& text) {
  Values items;
  rt.step(static_cast<std::int64_t>(text.size()));
  rt.reserve(text.size() * 64);  // a shared string each
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t begin = pos;
    decode_point(text, pos);
    items.push_back(make_string(text.substr(begin, pos - begin)));
  }
  return items;
}

Values view_items(Runtime& rt, const Dict& dict, View::Part part) {
  Values items;
  for (const auto& [key, value] : dict.entries()) {
    items.push_back(part == View::kKeys ? key : part == View::kValues ? value : rt.tuple({key, value}));
  }
  return items;
}

}  // namespace

Values to_items(Runtime& rt, const Value& value) {
  Values items;
  switch (value.kind()) {
    case Kind::kUndefined: break;
    case Kind::kString: items = to_characters(rt, value.as_string()); break;
    case Kind::kList:
    case Kind::kTuple: items = *value.items(); break;
    case Kind::kDict: items = view_items(rt, *value.as<const Dict>(), View::kKeys); break;
    case Kind::kView: items = view_items(rt, *value.as<const View>()->dict, value.as<const View>()->part); break;
    case Kind::kRange: {
      const Range& range = *value.as<const Range>();
      for (std::int64_t i = 0; i < range.size(); ++i) items.push_back(range.at(i));
      break;
    }
    case Kind::kIterator: {
      Iterator& iterator = *value.as<Iterator>();
      items.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next), iterator.items.end());
      iterator.next = iterator.items.size();
      break;
    }
    case Kind::kLoop: rt.fail("the loop variable cannot be gone through again; use the loop's own list");
    default: rt.fail(fmt::format("a {} cannot be iterated over", type_name(value)));
  }
  rt.step(static_cast<std::int64_t>(items.size()));
  rt.reserve(items.size() * sizeof(Value));
  return items;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace terrace::jinja
