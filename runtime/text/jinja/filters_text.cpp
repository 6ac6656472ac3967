// Filters that give a text.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/tojson.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

std::string input(Call& call) { return to_text(call.rt, call.self); }

Value filter_upper(Call& call) { return call.rt.string(to_upper(input(call))); }
Value filter_lower(Call& call) { return call.rt.string(to_lower(input(call))); }
Value filter_capitalize(Call& call) { return call.rt.string(to_capitalized(input(call))); }
Value filter_escape(Call& call) {
  if (call.self.is_string() && call.self.as<const Text>()->safe) return call.self;
  return call.rt.string(escape_html(input(call)), true);
}
Value filter_force_escape(Call& call) { return call.rt.string(escape_html(input(call)), true); }
Value filter_safe(Call& call) { return call.rt.string(input(call), true); }
Value filter_string(Call& call) { return call.self.is_string() ? call.self : call.rt.string(input(call)); }

Value filter_trim(Call& call) {
  const std::string text = input(call);
  if (!call.has(0) || call.at(0).is_none()) return call.rt.string(std::string(strip(text, true, true)));
  const std::string_view chars = call.string(0);
  return call.rt.string(std::string(strip(text, true, true, &chars)));
}

Value filter_replace(Call& call) {
  const std::int64_t count = call.has(2) && !call.at(2).is_none() ? call.integer(2) : -1;
  return call.rt.string(
      replace(call.rt, input(call), to_text(call.rt, call.at(0)), to_text(call.rt, call.at(1)), count));
}

Value filter_center(Call& call) { return call.rt.string(center(call.rt, input(call), call.integer(0, 80), U' ')); }

// Words begin after white space, a dash or an opening bracket.
Value filter_title(Call& call) {
  const std::u32string points = to_points(input(call));
  const auto separates = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string out;
  for (std::size_t i = 0; i < points.size();) {
    const std::size_t begin = i;
    const bool separator = separates(points[i]);
    while (i < points.size() && separates(points[i]) == separator) ++i;
    const std::u32string_view run = std::u32string_view(points).substr(begin, i - begin);
    out += to_upper(from_points(run.substr(0, 1))) + to_lower(from_points(run.substr(1)));
  }
  return call.rt.string(std::move(out));
}

Value filter_indent(Call& call) {
  need_defined(call.rt, call.self);
  if (!call.self.is_string()) call.fail(fmt::format("needs a str, not a {}", type_name(call.self)));
  const bool given = call.has(0) && call.at(0).is_string();
  const std::int64_t width = given ? 0 : call.integer(0, 4);
  if (width > static_cast<std::int64_t>(call.rt.limits().max_text)) call.fail("gets too large a width");
  const std::string space =
      given ? call.string(0) : std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  const std::string source = call.self.as_string() + "\n";
  const std::vector<std::string_view> lines = split_lines(source, false);
  call.rt.reserve_text(source.size() + lines.size() * space.size());
  std::string out = call.flag(1) ? space : "";
  bool first = true;
  for (const std::string_view line : lines) {
    if (!first) out += '\n';
    if (!first && (call.flag(2) || !line.empty())) out += space;
    out += line;
    first = false;
  }
  return call.rt.string(std::move(out));
}

Value filter_truncate(Call& call) {
  need_defined(call.rt, call.self);
  if (!call.self.is_string()) call.fail(fmt::format("needs a str, not a {}", type_name(call.self)));
  const std::string& text = call.self.as_string();
  const std::int64_t length = call.integer(0, 255);
  const std::string end = call.has(2) ? call.string(2) : "...";
  const std::int64_t leeway = call.has(3) && !call.at(3).is_none() ? call.integer(3) : 5;
  const auto end_size = static_cast<std::int64_t>(num_points(end));
  if (length < end_size || leeway < 0) call.fail("needs a length of at least its end's, and no negative leeway");
  const auto size = static_cast<std::int64_t>(num_points(text));
  if (size - leeway <= length) return call.self;
  std::string kept = text.substr(0, point_offset(text, static_cast<std::size_t>(length - end_size)));
  if (!call.flag(1)) kept.resize(std::min(kept.rfind(' '), kept.size()));
  return call.rt.string(kept + end);
}

Value filter_wordcount(Call& call) {
  std::int64_t words = 0;
  bool in_word = false;
  for (const char32_t c : to_points(input(call))) {
    const bool is_word = c == '_' || is_alnum(c);
    if (is_word && !in_word) ++words;
    in_word = is_word;
  }
  return words;
}

Value filter_format(Call& call) {
  if (!call.rest.positional.empty() && !call.rest.keyword.empty())
    call.fail("takes positional or keyword arguments, not both");
  const Value text = call.self.is_string() ? call.self : call.rt.string(input(call));
  if (call.rest.keyword.empty()) return percent_format(call.rt, text, call.rt.tuple(call.rest.positional));
  Dict values;
  for (auto& [name, value] : call.rest.keyword) values.set(make_string(name), value);
  return percent_format(call.rt, text, call.rt.dict(std::move(values)));
}

std::string url_quote(std::string_view text, bool in_query) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value filter_urlencode(Call& call) {
  if (call.self.is_string() || !is_iterable(call.self)) return call.rt.string(url_quote(input(call), false));
  const bool is_dict = call.self.is(Kind::kDict);
  const Value pairs =
      is_dict
          ? Value(std::shared_ptr<const View>(std::make_shared<View>(View{call.self.as<const Dict>(), View::kItems})))
          : call.self;
  std::string out;
  for (const Value& pair : to_items(call.rt, pairs)) {
    const Values parts = to_items(call.rt, pair);
    if (parts.size() != 2) call.fail("needs a str, a dict or a list of pairs");
    if (!out.empty()) out += '&';
    out += url_quote(to_text(call.rt, parts[0]), true) + "=" + url_quote(to_text(call.rt, parts[1]), true);
  }
  return call.rt.string(std::move(out));
}

Value filter_xmlattr(Call& call) {
  if (!call.self.is(Kind::kDict)) call.fail(fmt::format("needs a dict, not a {}", type_name(call.self)));
  std::string out;
  for (const auto& [key, value] : call.self.as<const Dict>()->entries()) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string() || key.as_string().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      call.fail("has a key that cannot be the name of an attribute");
    }
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : " ", escape_html(key.as_string()),
                       escape_html(to_text(call.rt, value)));
  }
  const bool spaced = !out.empty() && call.flag(0, true);
  return call.rt.string(spaced ? ' ' + out : out);
}

Value filter_tojson(Call& call) {
  JsonStyle style;
  style.ensure_ascii = call.flag(0);
  if (call.has(1) && !call.at(1).is_none()) {
    const bool text = call.at(1).is_string();
    const std::int64_t width = text ? 0 : call.integer(1);
    if (width > 1000) call.fail("gets too large an indent");
    style.indent = text ? call.string(1) : std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    style.item_separator.resize(1);  // the comma alone: a line end follows
  }
  if (call.has(2) && !call.at(2).is_none()) {
    const Values* pair = call.at(2).items();
    if (!pair || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string()) {
      call.fail("needs separators (item_separator, key_separator)");
    }
    style.item_separator = (*pair)[0].as_string();
    style.key_separator = (*pair)[1].as_string();
  }
  style.sort_keys = call.flag(3);
  return call.rt.string(to_json(call.rt, call.self, style));
}

constexpr Builtin kTable[] = {
    {"capitalize", "", filter_capitalize},
    {"center", "width?", filter_center},
    {"e", "/", filter_escape},
    {"escape", "/", filter_escape},
    {"forceescape", "", filter_force_escape},
    {"format", "*", filter_format},
    {"indent", "width? first? blank?", filter_indent},
    {"lower", "", filter_lower},
    {"replace", "old new count?", filter_replace},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {"trim", "chars?", filter_trim},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"upper", "", filter_upper},
    {"urlencode", "", filter_urlencode},
    {"wordcount", "", filter_wordcount},
    {"xmlattr", "autospace?", filter_xmlattr},
};

}  // namespace

std::span<const Builtin> text_filters() { return kTable; }

}  // namespace terrace::jinja
