// The two formatters that go through a text: "%s" % x and "{}".format(x).
#include <fmt/format.h>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

// "%..." fields, in the order of the text.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, std::string_view text, const Value& values, bool safe)
      : rt_(rt), text_(text), values_(values), safe_(safe) {}

  std::string run() {
    std::string out;
    while (pos_ < text_.size()) {
      const std::size_t percent = std::min(text_.find('%', pos_), text_.size());
      out += text_.substr(pos_, percent - pos_);
      pos_ = percent + 1;
      if (percent < text_.size()) out += field();
      if (out.size() > rt_.limits().max_text) rt_.reserve_text(out.size());
    }
    const bool all_used = !values_.is(Kind::kTuple) ? used_ > 0 || is_container() : used_ >= values_.items()->size();
    if (!all_used) rt_.fail("not all values of a % format are used by its text");
    return out;
  }

 private:
  bool is_container() const { return values_.is(Kind::kDict) || values_.is(Kind::kList) || values_.is_undefined(); }

  char peek() const {
    if (pos_ >= text_.size()) rt_.fail("a % format ends within a field");
    return text_[pos_];
  }

  Value next_value() {
    if (has_key_) return key_value_;
    if (!values_.is(Kind::kTuple)) {
      if (used_++ > 0) rt_.fail("a % format has more fields than values");
      return values_;
    }
    if (used_ >= values_.items()->size()) rt_.fail("a % format has more fields than values");
    return (*values_.items())[used_++];
  }

  void read_key() {
    has_key_ = false;
    if (peek() != '(') return;
    const std::size_t close = text_.find(')', pos_);
    if (close == std::string_view::npos || !values_.is(Kind::kDict)) rt_.fail("a %(name) field needs a dict");
    const Value key = rt_.string(std::string(text_.substr(pos_ + 1, close - pos_ - 1)));
    const Value* found = values_.as<const Dict>()->find(key);
    if (!found) rt_.fail(fmt::format("a % format's values have no '{}'", key.as_string()));
    has_key_ = true;
    key_value_ = *found;
    pos_ = close + 1;
  }

  std::optional<std::int64_t> read_count() {
    if (peek() == '*') {
      ++pos_;
      const Value count = next_value();
      if (!count.is_integral()) rt_.fail("the * of a % format needs an integer");
      return count.as_int();
    }
    std::int64_t number = 0;
    bool any = false;
    for (; peek() >= '0' && peek() <= '9'; ++pos_) {
      number = std::min<std::int64_t>(number * 10 + (peek() - '0'), INT32_MAX);
      any = true;
    }
    return any ? std::optional(number) : std::nullopt;
  }

  std::string field() {
    if (peek() == '%') {
      ++pos_;
      return "%";
    }
    read_key();
    std::string flags;
    for (; std::string_view("#0- +").find(peek()) != std::string_view::npos; ++pos_) flags += peek();
    std::int64_t width = read_count().value_or(0);
    const bool left = flags.find('-') != std::string::npos || width < 0;
    if (width < 0) width = width < -INT32_MAX ? INT32_MAX : -width;
    std::optional<std::int64_t> precision;
    if (peek() == '.') {
      ++pos_;
      precision = std::max<std::int64_t>(read_count().value_or(0), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++pos_;
    const char type = peek();
    ++pos_;
    return convert(type, flags, width, precision, left);
  }

  std::string convert(char type, const std::string& flags, std::int64_t width, std::optional<std::int64_t> precision,
                      bool left) {
    const auto has = [&](char c) { return flags.find(c) != std::string::npos; };
    const Value value = next_value();
    const std::string align = left ? "<" : ">";
    const std::string cut = precision ? fmt::format(".{}", *precision) : "";
    if (type == 's' || type == 'r' || type == 'a') {
      std::string text = type == 's' ? to_text(rt_, value) : to_repr(rt_, value);
      if (safe_) text = escape_html(text);
      return format_spec(rt_, make_string(std::move(text)), fmt::format("{}{}{}", align, width, cut));
    }
    if (type == 'c') return format_spec(rt_, character(value), fmt::format("{}{}", align, width));
    const std::string sign = has('+') ? "+" : has(' ') ? " " : "";
    const std::string zero = has('0') && !left ? "0" : "";
    const std::string head = (left           ? "<"
                              : zero.empty() ? ">"
                                             : "") +
                             sign + (has('#') ? "#" : "") + zero + fmt::format("{}", width);
    if (std::string_view("diuoxX").find(type) != std::string_view::npos) {
      const bool decimal = type == 'd' || type == 'i' || type == 'u';
      if (precision) rt_.fail("a % format of an integer with a precision is not supported");
      return format_spec(rt_, integer(value, decimal), head + (decimal ? 'd' : type));
    }
    if (std::string_view("eEfFgG").find(type) == std::string_view::npos) {
      rt_.fail(fmt::format("a % format has no type '{}'", type));
    }
    need_defined(rt_, value);
    if (!value.is_number()) rt_.fail(fmt::format("%{} needs a number, not a {}", type, type_name(value)));
    return format_spec(rt_, value.as_double(), head + cut + type);
  }

  Value integer(const Value& value, bool from_float) {
    need_defined(rt_, value);
    const bool whole =
        from_float && value.is(Kind::kFloat) && value.as_double() > -9.2e18 && value.as_double() < 9.2e18;
    if (whole) return static_cast<std::int64_t>(value.as_double());
    if (!value.is_integral()) rt_.fail(fmt::format("a % format needs an integer, not a {}", type_name(value)));
    return value.as_int();
  }

  Value character(const Value& value) {
    if (value.is_string() && num_points(value.as_string()) == 1) return value;
    if (!value.is_integral()) rt_.fail("%c needs a character or a code point");
    return make_string(format_spec(rt_, value.as_int(), "c"));
  }

  Runtime& rt_;
  std::string_view text_;
  const Value& values_;
  bool safe_;
  std::size_t pos_ = 0, used_ = 0;
  bool has_key_ = false;
  Value key_value_;
};

// "{...}" fields; a spec may hold fields itself, one level deep.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, const Arguments& arguments) : rt_(rt), arguments_(arguments) {}

  std::string run(std::string_view text, int levels) {
    if (levels == 0) rt_.fail("fields of str.format nest too deep");
    std::string out;
    for (std::size_t pos = 0; pos < text.size();) {
      const char c = text[pos++];
      const bool doubled = pos < text.size() && text[pos] == c;
      if ((c == '{' || c == '}') && doubled) {
        out += c;
        ++pos;
      } else if (c == '{') {
        const std::size_t end = field_end(text, pos);
        out += field(text.substr(pos, end - pos), levels);
        pos = end + 1;
      } else if (c == '}') {
        rt_.fail("a text for str.format has a '}' without its '{'");
      } else {
        out += c;
      }
      if (out.size() > rt_.limits().max_text) rt_.reserve_text(out.size());
    }
    return out;
  }

 private:
  std::size_t field_end(std::string_view text, std::size_t pos) {
    int open = 1;
    for (; pos < text.size(); ++pos) {
      if (text[pos] == '{') ++open;
      if (text[pos] == '}' && --open == 0) return pos;
    }
    rt_.fail("a text for str.format has a '{' without its '}'");
  }

  std::string field(std::string_view text, int levels) {
    const std::size_t name_end = std::min(text.find_first_of("!:"), text.size());
    Value value = look_up(text.substr(0, name_end));
    std::string_view rest = text.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) rt_.fail("str.format knows !s, !r and !a");
      value = make_string(rest[1] == 's' ? to_text(rt_, value) : to_repr(rt_, value));
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    const std::string spec = rest.find('{') == std::string_view::npos ? std::string(rest) : run(rest, levels - 1);
    return format_spec(rt_, value, spec);
  }

  Value look_up(std::string_view path) {
    const std::size_t head_end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, head_end));
    std::string_view rest = path.substr(head_end);
    while (!rest.empty()) {
      const bool item = rest[0] == '[';
      const std::size_t end = item ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
      if (end == std::string_view::npos) rt_.fail("a field of str.format has a '[' without its ']'");
      const std::string_view part = rest.substr(1, end - 1);
      const auto number = item ? parse_int(rt_, part, 10) : std::nullopt;
      value = !item ? get_attribute(rt_, value, part)
                    : get_item(rt_, value, number ? Value(*number) : rt_.string(std::string(part)));
      rest.remove_prefix(item ? end + 1 : end);
      if (item && !rest.empty() && rest[0] != '.' && rest[0] != '[')
        rt_.fail("a field of str.format goes on after its ']'");
    }
    return value;
  }

  Value argument(std::string_view name) {
    if (name.empty())
      name_ = std::to_string(next_++);
    else
      name_ = name;
    if (const auto index = parse_int(rt_, name_, 10)) {
      const bool known = *index >= 0 && static_cast<std::uint64_t>(*index) < arguments_.positional.size();
      if (!known) rt_.fail(fmt::format("str.format has no argument {}", *index));
      return arguments_.positional[static_cast<std::size_t>(*index)];
    }
    const Value* found = arguments_.find(name_);
    if (!found) rt_.fail(fmt::format("str.format has no argument '{}'", name_));
    return *found;
  }

  Runtime& rt_;
  const Arguments& arguments_;
  std::size_t next_ = 0;
  std::string name_;
};

}  // namespace

Value percent_format(Runtime& rt, const Value& text, const Value& values) {
  const Text& format = *text.as<const Text>();
  return rt.string(PercentFormatter(rt, format.bytes, values, format.safe).run(), format.safe);
}

Value brace_format(Runtime& rt, const std::string& text, const Arguments& arguments) {
  return rt.string(BraceFormatter(rt, arguments).run(text, 2));
}

}  // namespace terrace::jinja
