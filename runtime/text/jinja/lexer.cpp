#include "runtime/text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/string_literal.h"
#include "runtime/text/jinja/unicode.h"

namespace terrace::jinja {
namespace {

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

// \r\n and \r become \n, and one line end at the end of the source is dropped.
std::string normalise(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), rest_(source_) {}

  std::vector<Token> run() {
    while (!rest_.empty()) read_root();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  // Takes `size` bytes off the front and counts their lines.
  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    line_ += static_cast<int>(std::count(taken.begin(), taken.end(), '\n'));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  void take_space() { take(rest_.size() - strip(rest_, true, false).size()); }

  void add(TokenKind kind, std::string text = {}) { tokens_.push_back({kind, line_, std::move(text)}); }

  void add_data(std::string_view text) {
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  // The text before a tag, without the white space that the tag's sign or lstrip_blocks removes.
  std::string_view before_tag(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return strip(text, false, true);
    if (sign == '+' || is_variable) return text;
    const std::size_t line_start = text.rfind('\n') + 1;  // 0 where there is no line end
    if (line_start == 0 && !at_line_start_) return text;
    return strip(text.substr(line_start), true, true).empty() ? text.substr(0, line_start) : text;
  }

  static bool is_tag_begin(std::string_view text, std::size_t at) {
    return text[at] == '{' && at + 1 < text.size() &&
           (text[at + 1] == '%' || text[at + 1] == '{' || text[at + 1] == '#');
  }

  char sign_at(std::size_t at) const {
    return at < rest_.size() && (rest_[at] == '-' || rest_[at] == '+') ? rest_[at] : '\0';
  }

  void read_root() {
    std::size_t tag = rest_.find('{');
    while (tag != std::string_view::npos && !is_tag_begin(rest_, tag)) tag = rest_.find('{', tag + 1);
    if (tag == std::string_view::npos) {
      add_data(rest_);
      take(rest_.size());
      return;
    }
    const char type = rest_[tag + 1];
    const char sign = sign_at(tag + 2);
    add_data(before_tag(rest_.substr(0, tag), sign, type == '{'));
    take(tag);
    if (type == '%') {
      if (const auto raw = raw_begin()) return read_raw(*raw);
    }
    take(sign ? 3 : 2);
    if (type == '#') return read_comment();
    add(type == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    read_tag(type == '{' ? '}' : '%');
  }

  // How long "{%- name" is at `at`, up to its end tag; 0 where something else stands there.
  std::size_t keyword_tag(std::size_t at, std::string_view name) const {
    std::string_view text = rest_.substr(at + 2);
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    text = strip(text, true, false);
    if (!text.starts_with(name)) return 0;
    text = strip(text.substr(name.size()), true, false);
    return rest_.size() - at - text.size();
  }

  // The length of a "{% raw %}" that the rest begins with.
  std::optional<std::size_t> raw_begin() const {
    const std::size_t size = keyword_tag(0, "raw");
    if (size == 0) return std::nullopt;
    const std::string_view end = rest_.substr(size);
    if (end.starts_with("%}")) return size + 2;
    if (!end.starts_with("-%}")) return std::nullopt;
    return rest_.size() - strip(end.substr(3), true, false).size();
  }

  void read_raw(std::size_t begin_size) {
    const int begin_line = line_;
    at_line_start_ = take(begin_size).ends_with('\n');
    for (std::size_t at = rest_.find("{%"); at != std::string_view::npos; at = rest_.find("{%", at + 1)) {
      const std::size_t size = keyword_tag(at, "endraw");
      if (size == 0) continue;
      const std::string_view end = rest_.substr(at + size);
      const bool strips = end.starts_with("-%}"), keeps = end.starts_with("+%}");
      if (!strips && !keeps && !end.starts_with("%}")) continue;
      add_data(before_tag(rest_.substr(0, at), sign_at(at + 2), false));
      take(at + size);
      return end_tag(strips ? '-' : keeps ? '+' : '\0');
    }
    fail_at_line(begin_line, "{% raw %} has no {% endraw %}");
  }

  void read_comment() {
    const std::size_t end = rest_.find("#}");
    if (end == std::string_view::npos) fail_at_line(line_, "a comment has no #}");
    const char before = end > 0 ? rest_[end - 1] : '\0';
    const char sign = before == '-' || before == '+' ? before : '\0';
    take(sign ? end - 1 : end);
    end_tag(sign);
  }

  // The rest begins with a tag's end, with its sign if it has one: takes it with the white space that goes with it.
  void end_tag(char sign) {
    const std::size_t before = rest_.size();
    const std::string_view whole = rest_;
    take(sign ? 3 : 2);
    if (sign == '-') take_space();
    if (!sign && rest_.starts_with('\n')) take(1);
    at_line_start_ = whole.substr(0, before - rest_.size()).ends_with('\n');
  }

  // The tokens of a tag up to its end, "%}" or "}}".
  void read_tag(char end) {
    const bool block = end == '%';
    const std::string close = block ? "%}" : "}}";
    const int begin_line = line_;
    open_.clear();
    while (true) {
      if (rest_.empty()) fail_at_line(begin_line, fmt::format("a tag has no {}", close));
      const char sign = rest_.starts_with("-" + close) ? '-' : block && rest_.starts_with("+" + close) ? '+' : '\0';
      if (open_.empty() && (sign || rest_.starts_with(close))) {
        add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd);
        if (block || sign) return end_tag(sign);
        take(2);  // what follows {{ }} stays, its line end too
        at_line_start_ = false;
        return;
      }
      read_token();
    }
  }

  void read_token() {
    std::size_t pos = 0;
    const char32_t first = decode_point(rest_, pos);
    if (is_space(first)) return take_space();
    if (is_digit_char(rest_[0])) return read_number();
    if (first == '_' || is_alnum(first)) return read_name();
    if (first == '"' || first == '\'') return read_string();
    read_operator();
  }

  void read_name() {
    std::size_t end = 0;
    while (end < rest_.size()) {
      std::size_t next = end;
      const char32_t c = decode_point(rest_, next);
      if (c != '_' && !is_alnum(c)) break;
      end = next;
    }
    add(TokenKind::kName, std::string(rest_.substr(0, end)));
    take(end);
  }

  void read_string() {
    const char quote = rest_[0];
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) fail_at_line(line_, "a string has no end");
    add(TokenKind::kString, unescape(rest_.substr(1, end - 1), line_));
    take(end + 1);
  }

  // Digits with single '_' between, from `at`; the position behind them.
  std::size_t digits_end(std::size_t at) const {
    while (at < rest_.size() && is_digit_char(rest_[at])) {
      ++at;
      if (at + 1 < rest_.size() && rest_[at] == '_' && is_digit_char(rest_[at + 1])) ++at;
    }
    return at;
  }

  // The end of a float that the rest begins with; 0 for an integer.
  std::size_t float_end() const {
    if (rest_.data() > source_.data() && rest_.data()[-1] == '.') return 0;  // x.0.1 is two integer attributes
    const std::size_t whole = digits_end(0);
    std::size_t end = whole;
    const auto digit_at = [&](std::size_t at) { return at < rest_.size() && is_digit_char(rest_[at]); };
    if (end < rest_.size() && rest_[end] == '.' && digit_at(end + 1)) end = digits_end(end + 1);
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      const std::size_t sign = end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) end = digits_end(end + 1 + sign);
    }
    return end == whole ? 0 : end;
  }

  void read_number() {
    const std::size_t real_end = float_end();
    const std::size_t end = real_end ? real_end : integer_end(rest_);
    std::string digits(rest_.substr(0, end));
    std::erase(digits, '_');
    add(real_end ? TokenKind::kFloat : TokenKind::kInteger);
    if (real_end) {
      tokens_.back().real = std::strtod(digits.c_str(), nullptr);
    } else {
      tokens_.back().integer = parse_integer(digits, line_);
    }
    take(end);
  }

  void read_operator() {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const auto found =
        std::find_if(std::begin(kOperators), std::end(kOperators), [&](auto op) { return rest_.starts_with(op); });
    if (found == std::end(kOperators)) {
      std::size_t pos = 0;
      decode_point(rest_, pos);
      fail_at_line(line_, fmt::format("the character '{}' has no meaning here", rest_.substr(0, pos)));
    }
    balance((*found)[0]);
    add(TokenKind::kOperator, std::string(*found));
    take(found->size());
  }

  // Within brackets, }} and %} are no tag ends.
  void balance(char c) {
    if (c == '(') open_ += ')';
    if (c == '[') open_ += ']';
    if (c == '{') open_ += '}';
    if (c != ')' && c != ']' && c != '}') return;
    if (open_.empty()) fail_at_line(line_, fmt::format("'{}' closes nothing", c));
    if (open_.back() != c) fail_at_line(line_, fmt::format("'{}' stands where '{}' is due", c, open_.back()));
    open_.pop_back();
  }

  std::string source_;
  std::string_view rest_;
  std::vector<Token> tokens_;
  std::string open_;  // the closing brackets that are due
  int line_ = 1;
  bool at_line_start_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(normalise(source)).run(); }

}  // namespace terrace::jinja
