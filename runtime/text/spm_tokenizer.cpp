#include "runtime/text/spm_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "kernels/base/error.h"
#include "runtime/text/spaces.h"
#include "runtime/text/utf8.h"
#include "runtime/text/word_memory.h"

namespace terrace {
namespace {

/// A text on its way to tokens: symbols that touch, linked because a join takes out the right one.
class SymbolList {
 public:
  struct Symbol {
    std::string_view text;  // empty: taken out
    int32_t prev;           // index; -1: the first
    int32_t next;           // index; -1: the last
  };

  SymbolList(std::string_view text, const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    for (size_t at = 0; at < text.size();) {
      const size_t length = utf8_at(text, at).length;
      const int32_t index = static_cast<int32_t>(symbols_.size());
      symbols_.push_back({text.substr(at, length), index - 1, index + 1});
      at += length;
    }
    if (!symbols_.empty()) symbols_.back().next = -1;
  }

  void join() {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) consider(static_cast<int32_t>(i));
    while (!waiting_.empty()) {
      const Candidate best = waiting_.top();
      waiting_.pop();
      Symbol& left = symbols_[static_cast<size_t>(best.left)];
      if (left.text.empty() || left.next < 0) continue;
      Symbol& right = symbols_[static_cast<size_t>(left.next)];
      if (left.text.size() + right.text.size() != best.bytes) continue;  // one of them has grown since
      left.text = joined(left, right);
      right.text = {};
      left.next = right.next;
      if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].prev = best.left;
      if (left.prev >= 0) consider(left.prev);
      consider(best.left);
    }
  }

  const std::vector<Symbol>& symbols() const { return symbols_; }

 private:
  struct Candidate {
    float score;
    int32_t left;
    size_t bytes;  // of both
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  static std::string_view joined(const Symbol& left, const Symbol& right) {
    return {left.text.data(), left.text.size() + right.text.size()};
  }

  void consider(int32_t index) {
    const Symbol& left = symbols_[static_cast<size_t>(index)];
    if (left.next < 0) return;
    const std::string_view text = joined(left, symbols_[static_cast<size_t>(left.next)]);
    if (text.size() > vocabulary_.max_text_bytes()) return;
    if (const int32_t token = vocabulary_.find(text); token >= 0)
      waiting_.push({vocabulary_.score(token), index, text.size()});
  }

  const Vocabulary& vocabulary_;
  std::vector<Symbol> symbols_;  // the first always stays
  std::priority_queue<Candidate> waiting_;
};

/// Where the word at `begin`, spaces and then what is no space, ends.
size_t word_end(std::string_view text, size_t begin) {
  while (text.substr(begin).starts_with(kSpaceMark)) begin += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, begin), text.size());
}

}  // namespace

SpmTokenizer::SpmTokenizer(const GgufFile& file)
    : TokenizerBase(file, {.bos = 1, .eos = 2, .unknown = 0, .add_bos = true}),
      add_space_prefix_(file.find_bool("tokenizer.ggml.add_space_prefix").value_or(true)) {
  for (int32_t token = 0; token < vocab_size(); ++token) {
    const std::string_view text = vocabulary().text(token);
    if (word_end(text, 0) != text.size()) words_are_independent_ = false;
  }
  size_t missing = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(byte);
    int32_t token = vocabulary().find(fmt::format("<0x{:02X}>", byte));
    if (token < 0) token = vocabulary().find({&raw, 1});
    if (token < 0) ++missing;
    byte_tokens_[byte] = token < 0 ? vocabulary().unknown() : token;
  }
  if (missing == 256 || (missing > 0 && vocabulary().unknown() < 0)) {
    throw Error(ErrorCode::kModelCorrupt,
                fmt::format("{}: the vocabulary has no tokens for {} of 256 bytes (<0x00> to <0xFF>); "
                            "convert the model again.",
                            file.path(), missing));
  }
}

std::string SpmTokenizer::describe() const { return fmt::format("SentencePiece BPE, {} tokens", vocab_size()); }

void SpmTokenizer::encode_plain(std::string_view text, bool after_special, std::vector<int32_t>& ids) const {
  std::string escaped = escape_spaces(text);
  if (add_space_prefix_ && after_special) escaped.insert(0, kSpaceMark);
  if (!words_are_independent_) return encode_word(escaped, ids);
  WordMemory memory(escaped.size());
  for (size_t begin = 0; begin < escaped.size();) {
    const size_t end = word_end(escaped, begin);
    const std::string_view word = std::string_view(escaped).substr(begin, end - begin);
    memory.encode(word, ids, [&] { encode_word(word, ids); });
    begin = end;
  }
}

void SpmTokenizer::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  SymbolList list(word, vocabulary());
  list.join();
  const std::vector<SymbolList::Symbol>& symbols = list.symbols();
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    const std::string_view piece = symbols[static_cast<size_t>(i)].text;
    if (const int32_t token = vocabulary().find(piece); token >= 0) {
      ids.push_back(token);
    } else {
      for (const char byte : piece) ids.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
    }
  }
}

std::string SpmTokenizer::plain_bytes(int32_t token) const {
  const std::string_view text = vocabulary().text(token);
  if (vocabulary().kind(token) != TokenKind::kByte) return unescape_spaces(text);
  if (const std::optional<char> byte = byte_of_token(text)) return std::string(1, *byte);
  return std::string(text);
}

}  // namespace terrace
