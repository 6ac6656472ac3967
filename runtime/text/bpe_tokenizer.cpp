#include "runtime/text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/text/spaces.h"
#include "runtime/text/utf8.h"
#include "runtime/text/word_memory.h"

namespace terrace {
namespace {

std::vector<std::string_view> read_merges(const GgufFile& file) {
  const std::vector<std::string_view>* merges = file.find_strings("tokenizer.ggml.merges");
  if (merges != nullptr) return *merges;
  throw Error(ErrorCode::kModelCorrupt,
              fmt::format("{}: a BPE vocabulary needs merges, but tokenizer.ggml.merges is missing; "
                          "convert the model again.",
                          file.path()));
}

}  // namespace

BpeTokenizer::BpeTokenizer(const GgufFile& file, const PreTokenizerFamily& family, std::string_view pre)
    : TokenizerBase(file, {.add_bos = family.add_bos}),
      pre_(pre),
      whole_words_first_(family.whole_words_first),
      raw_utf8_(family.raw_utf8),
      merges_(read_merges(file), vocabulary()),
      pre_tokenizer_(family.patterns) {
  for (size_t byte = 0; byte < 256; ++byte) {
    byte_tokens_[byte] =
        vocabulary().find(raw_utf8_ ? fmt::format("<0x{:02X}>", byte) : alphabet_.text_of(static_cast<uint8_t>(byte)));
  }
  if (std::ranges::all_of(byte_tokens_, [](int32_t token) { return token < 0; })) {
    throw Error(ErrorCode::kModelCorrupt,
                fmt::format("{}: the vocabulary has no token for any single byte, which a {} one must have; "
                            "convert the model again.",
                            file.path(), describe()));
  }
}

std::string BpeTokenizer::describe() const {
  return fmt::format("{} BPE ({}), {} tokens", raw_utf8_ ? "character" : "byte-level", pre_, vocab_size());
}

void BpeTokenizer::encode_plain(std::string_view text, bool /*after_special*/, std::vector<int32_t>& ids) const {
  const std::string escaped = raw_utf8_ ? escape_spaces(text) : std::string();
  if (raw_utf8_) text = escaped;
  WordMemory memory(text.size());
  BpeWord scratch;
  for (const std::string_view word : pre_tokenizer_.split(text)) {
    memory.encode(word, ids, [&] { encode_word(word, scratch, ids); });
  }
}

void BpeTokenizer::encode_word(std::string_view word, BpeWord& scratch, std::vector<int32_t>& ids) const {
  if (const int32_t token = whole_word(word); token >= 0) {
    ids.push_back(token);
    return;
  }
  scratch.clear();
  append_symbols(word, scratch);
  merges_.apply(scratch);
  for (int32_t i = 0; i >= 0; i = scratch.symbols[static_cast<size_t>(i)].next) {
    const BpeWord::Symbol& symbol = scratch.symbols[static_cast<size_t>(i)];
    if (symbol.token >= 0) {
      ids.push_back(symbol.token);
    } else if (raw_utf8_) {
      for (const char byte : word.substr(symbol.begin, utf8_at(word, symbol.begin).length)) {
        if (const int32_t token = byte_tokens_[static_cast<uint8_t>(byte)]; token >= 0) ids.push_back(token);
      }
    }
  }
}

int32_t BpeTokenizer::whole_word(std::string_view word) const {
  // Merges never join newlines in a vocabulary over characters; its runs of newlines are tokens all the same.
  if (raw_utf8_) return word.find_first_not_of('\n') == std::string_view::npos ? vocabulary().find(word) : -1;
  if (!whole_words_first_ || word.size() > vocabulary().max_text_bytes()) return -1;
  std::string text;
  for (const char byte : word) text += alphabet_.text_of(static_cast<uint8_t>(byte));
  return vocabulary().find(text);
}

void BpeTokenizer::append_symbols(std::string_view word, BpeWord& scratch) const {
  scratch.symbols.reserve(word.size());
  for (size_t at = 0; at < word.size();) {
    const size_t length = raw_utf8_ ? utf8_at(word, at).length : 1;
    scratch.append(
        raw_utf8_ ? vocabulary().find(word.substr(at, length)) : byte_tokens_[static_cast<uint8_t>(word[at])], at);
    at += length;
  }
}

std::string BpeTokenizer::plain_bytes(int32_t token) const {
  const std::string_view text = vocabulary().text(token);
  if (!raw_utf8_) return alphabet_.bytes_of(text);
  if (const std::optional<char> byte = byte_of_token(text); byte && vocabulary().kind(token) == TokenKind::kByte)
    return std::string(1, *byte);
  return unescape_spaces(text);
}

}  // namespace terrace
