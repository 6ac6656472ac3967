// GPT-2's printable stand-ins for the 256 bytes, in which byte-level vocabularies are written: printable Latin-1
// characters mean themselves, the other 68 bytes are U+0100 and up in order. Source: bytes_to_unicode() of
// openai/gpt-2, src/encoder.py.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace terrace {

class ByteAlphabet {
 public:
  ByteAlphabet();
  /// The stand-in, in UTF-8.
  const std::string& text_of(uint8_t byte) const { return texts_[byte]; }
  /// The bytes that `text` stands for; a character outside the alphabet stands for its own UTF-8.
  std::string bytes_of(std::string_view text) const;

 private:
  std::array<std::string, 256> texts_;
  std::array<int16_t, 0x144> bytes_;  // by code point; -1: stands for no byte
};

}  // namespace terrace
