#include "tests/cudasim/ptx/token_reader.h"

#include <charconv>
#include <cstring>

namespace cudasim::ptx {

uint64_t align_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }

int type_bytes(std::string_view type) {
  if (type == "pred") return 1;
  if (type.empty() || std::string_view("usbf").find(type[0]) == std::string_view::npos) return 0;
  int bits = 0;
  const auto [end, error] = std::from_chars(type.data() + 1, type.data() + type.size(), bits);
  if (error != std::errc() || end != type.data() + type.size()) return 0;
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 || bits == 128 ? bits / 8 : 0;
}

void TokenReader::fail(std::string_view what) const {
  throw PtxError(fmt::format("{}:{}: {}, at '{}'", path_, token_.line, what, token_.text));
}

bool TokenReader::accept(std::string_view text) {
  if (!token_.is(text)) return false;
  advance();
  return true;
}

void TokenReader::expect(std::string_view text) {
  if (!accept(text)) fail(fmt::format("expected '{}'", text));
}

std::string_view TokenReader::word() {
  if (token_.kind != Token::Kind::kWord) fail("expected a name");
  const std::string_view text = token_.text;
  advance();
  return text;
}

int64_t TokenReader::number() {
  const bool negative = accept("-");
  if (token_.kind != Token::Kind::kNumber) fail("expected a number");
  std::string_view digits = token_.text;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    if (mark == 'x' || mark == 'f' || mark == 'd') base = 16, digits.remove_prefix(2);
  }
  if (digits.back() == 'U' || digits.back() == 'u') digits.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) fail("not a number that is known");
  advance();
  return static_cast<int64_t>(negative ? 0 - value : value);
}

Variable TokenReader::variable(Space space) {
  Variable variable;
  variable.space = space;
  int element_bytes = 0;
  bool aligned = false;
  while (token_.kind == Token::Kind::kWord && token_.text[0] == '.') {  // ".align 4 .b8", ".b32", ".u64 .ptr .global .align 8"
    const std::string_view text = token_.text;
    advance();
    if (text == ".align") {
      variable.alignment = static_cast<uint64_t>(number());
      aligned = true;
    } else if (const int bytes = type_bytes(text.substr(1))) {
      element_bytes = bytes;
    } else if (text != ".ptr" && text != ".global" && text != ".shared" && text != ".local" && text != ".const") {
      fail(fmt::format("unknown property {} of a variable", text));
    }
  }
  if (element_bytes == 0) fail("a variable without a type");
  if (!aligned || space == Space::kParam) variable.alignment = std::max<uint64_t>(aligned ? variable.alignment : 1, element_bytes);
  variable.name = word();
  variable.bytes = static_cast<uint64_t>(element_bytes);
  if (accept("[")) {
    variable.bytes = token_.is("]") ? 0 : static_cast<uint64_t>(number() * element_bytes);
    expect("]");
  }
  if (accept("=")) initializer(variable, element_bytes);
  return variable;
}

void TokenReader::initializer(Variable& variable, int element_bytes) {
  const bool list = accept("{");
  do {
    const int64_t value = number();
    const size_t at = variable.initial.size();
    variable.initial.resize(at + static_cast<size_t>(element_bytes));
    std::memcpy(variable.initial.data() + at, &value, static_cast<size_t>(element_bytes));
  } while (list && accept(","));
  if (list) expect("}");
}

}  // namespace cudasim::ptx
