// Methods of str that search or split it. Positions are counted in code points.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

Value to_list(Call& call, const std::vector<std::string_view>& parts) {
  Values items;
  call.rt.reserve(parts.size() * 64);  // a shared string each
  for (const std::string_view part : parts) items.push_back(call.rt.string(std::string(part)));
  return call.rt.list(std::move(items));
}

Value split_text(Call& call, std::vector<std::string_view> (*how)(std::string_view, std::string_view, std::int64_t)) {
  call.rt.step(call.self.extent().cost);
  const bool given = call.has(0) && !call.at(0).is_none();
  if (given && call.string(0).empty()) call.fail("needs a separator that is not empty");
  return to_list(call, how(call.self.as_string(), given ? std::string_view(call.string(0)) : "", call.integer(1, -1)));
}

Value method_split(Call& call) { return split_text(call, split); }
Value method_rsplit(Call& call) { return split_text(call, split_from_right); }

Value method_splitlines(Call& call) {
  call.rt.step(call.self.extent().cost);
  return to_list(call, split_lines(call.self.as_string(), call.flag(0)));
}

Value partition(Call& call, bool from_right) {
  const std::string& text = call.self.as_string();
  const std::string& separator = call.string(0);
  if (separator.empty()) call.fail("needs a separator that is not empty");
  const std::size_t at = from_right ? text.rfind(separator) : text.find(separator);
  Values parts = {call.self, call.rt.string(""), call.rt.string("")};
  if (at == std::string::npos) {
    if (from_right) std::swap(parts[0], parts[2]);
    return call.rt.tuple(std::move(parts));
  }
  return call.rt.tuple(
      {call.rt.string(text.substr(0, at)), call.at(0), call.rt.string(text.substr(at + separator.size()))});
}

Value method_partition(Call& call) { return partition(call, false); }
Value method_rpartition(Call& call) { return partition(call, true); }

// The part of the text that the optional arguments `first` (start) and `first` + 1 (end) bound.
struct Window {
  std::string_view text;
  std::int64_t start = 0;  // in code points of the whole
  bool valid = true;       // false where start lies behind the end: then not even "" is found
};

std::int64_t bound(Call& call, std::size_t i, std::int64_t otherwise, std::int64_t size) {
  if (!call.has(i) || call.at(i).is_none()) return otherwise;
  const std::int64_t at = call.integer(i);
  return at < 0 ? std::max<std::int64_t>(at < -size ? 0 : at + size, 0) : at;
}

Window window(Call& call, std::size_t first) {
  const std::string_view text = call.self.as_string();
  call.rt.step(call.self.extent().cost);
  if (!call.has(first) && !call.has(first + 1)) return {text, 0, true};
  const auto size = static_cast<std::int64_t>(num_points(text));
  const std::int64_t start = bound(call, first, 0, size);
  const std::int64_t end = std::min(bound(call, first + 1, size, size), size);
  if (start > end) return {"", start, false};
  const std::size_t begin_at = point_offset(text, static_cast<std::size_t>(start));
  const std::size_t end_at = point_offset(text, static_cast<std::size_t>(end));
  return {text.substr(begin_at, end_at - begin_at), start, true};
}

Value has_affix(Call& call, bool at_start) {
  const Window part = window(call, 1);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) call.fail(fmt::format("needs a str or a tuple of str, not a {}", type_name(affix)));
    return part.valid && (at_start ? part.text.starts_with(affix.as_string()) : part.text.ends_with(affix.as_string()));
  };
  if (!call.at(0).is(Kind::kTuple)) return matches(call.at(0));
  return std::any_of(call.at(0).items()->begin(), call.at(0).items()->end(), matches);
}

Value method_startswith(Call& call) { return has_affix(call, true); }
Value method_endswith(Call& call) { return has_affix(call, false); }

std::int64_t position(Call& call, bool from_right) {
  const Window part = window(call, 1);
  const std::string& wanted = call.string(0);
  const std::size_t at = from_right ? part.text.rfind(wanted) : part.text.find(wanted);
  if (!part.valid || at == std::string_view::npos) return -1;
  return part.start + static_cast<std::int64_t>(num_points(part.text.substr(0, at)));
}

std::int64_t must_find(Call& call, bool from_right) {
  const std::int64_t at = position(call, from_right);
  if (at < 0) call.fail("does not find its text");
  return at;
}

Value method_find(Call& call) { return position(call, false); }
Value method_rfind(Call& call) { return position(call, true); }
Value method_index(Call& call) { return must_find(call, false); }
Value method_rindex(Call& call) { return must_find(call, true); }

Value method_count(Call& call) {
  const Window part = window(call, 1);
  const std::string& wanted = call.string(0);
  if (!part.valid) return std::int64_t{0};
  if (wanted.empty()) return static_cast<std::int64_t>(num_points(part.text)) + 1;
  std::int64_t count = 0;
  for (std::size_t at = part.text.find(wanted); at != std::string_view::npos;
       at = part.text.find(wanted, at + wanted.size())) {
    ++count;
  }
  return count;
}

constexpr Builtin kTable[] = {
    {"count", "sub start? end? /", method_count},   {"endswith", "suffix start? end? /", method_endswith},
    {"find", "sub start? end? /", method_find},     {"index", "sub start? end? /", method_index},
    {"partition", "sep /", method_partition},       {"rfind", "sub start? end? /", method_rfind},
    {"rindex", "sub start? end? /", method_rindex}, {"rpartition", "sep /", method_rpartition},
    {"rsplit", "sep? maxsplit?", method_rsplit},    {"split", "sep? maxsplit?", method_split},
    {"splitlines", "keepends?", method_splitlines}, {"startswith", "prefix start? end? /", method_startswith},
};

}  // namespace

std::span<const Builtin> string_split_methods() { return kTable; }

}  // namespace terrace::jinja
