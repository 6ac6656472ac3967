#include "runtime/text/byte_alphabet.h"

#include "runtime/text/utf8.h"

namespace terrace {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    const uint32_t code_point = printable ? byte : next++;
    append_utf8(texts_[byte], code_point);
    bytes_[code_point] = static_cast<int16_t>(byte);
  }
}

std::string ByteAlphabet::bytes_of(std::string_view text) const {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_at(text, at);
    const bool stands_for_byte =
        c.state == Utf8State::kValid && c.code_point < bytes_.size() && bytes_[c.code_point] >= 0;
    if (stands_for_byte) {
      bytes += static_cast<char>(bytes_[c.code_point]);
    } else {
      bytes += text.substr(at, c.length);
    }
    at += c.length;
  }
  return bytes;
}

}  // namespace terrace
