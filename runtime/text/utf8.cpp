#include "runtime/text/utf8.h"

#include <fmt/format.h>

#include <cstring>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080u;

struct Lead {
  size_t length = 0;          // 0: no character begins with this byte
  uint8_t second_min = 0x80;  // bounds of the second byte; those after it are 80..BF
  uint8_t second_max = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

Utf8Char utf8_at(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[offset + i]); };
  if (byte(0) < 0x80) return {Utf8State::kValid, byte(0), 1};
  const Lead lead = lead_of(byte(0));
  if (lead.length == 0) return {};
  const size_t left = text.size() - offset;
  uint32_t code_point = byte(0) & (0x7Fu >> lead.length);
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == left) return {Utf8State::kIncomplete, 0, left};
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte(i) < min || byte(i) > max) return {};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
  }
  return {Utf8State::kValid, code_point, lead.length};
}

size_t find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size()) {
      uint64_t bytes;
      std::memcpy(&bytes, text.data() + at, 8);
      if ((bytes & kHighBits) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Char c = utf8_at(text, at);
    if (c.state != Utf8State::kValid) return at;
    at += c.length;
  }
  return std::string_view::npos;
}

void require_utf8(std::string_view text) {
  const size_t at = find_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  throw Error(ErrorCode::kInvalidValue,
              fmt::format("The text is not valid UTF-8: byte 0x{:02X} at offset {} of {}; convert it to UTF-8 first.",
                          static_cast<uint8_t>(text[at]), at, text.size()));
}

void append_utf8(std::string& text, uint32_t code_point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | code_point >> 6);
    tail(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | code_point >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | code_point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_at(text, at);
    if (c.state == Utf8State::kValid) {
      valid.append(text, at, c.length);
    } else {
      for (size_t i = 0; i < c.length; ++i) append_utf8(valid, 0xFFFD);
    }
    at += c.length;
  }
  return valid;
}

}  // namespace terrace
