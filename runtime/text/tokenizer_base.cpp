#include "runtime/text/tokenizer_base.h"

#include <fmt/format.h>

#include <limits>

#include "kernels/base/error.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

/// GGUF has no place for HF's "rstrip" flag. Phi-3 alone among the generating models needs it: white space after its
/// special tokens, but for these three, is not text. Source: tokenizer_config.json of microsoft/Phi-3-mini-4k-instruct.
std::vector<bool> strip_after(const GgufFile& file, const Vocabulary& vocabulary) {
  std::string name(file.find_string("general.name").value_or(""));
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  if (name.find("phi-3") == std::string::npos && name.find("phi3") == std::string::npos) return {};
  std::vector<bool> strip(static_cast<size_t>(vocabulary.size()));
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    const std::string_view text = vocabulary.text(token);
    const bool keeps = text == "<unk>" || text == "<s>" || text == "<|endoftext|>";
    strip[static_cast<size_t>(token)] =
        !keeps && (vocabulary.is_special(token) || vocabulary.kind(token) == TokenKind::kUserDefined);
  }
  return strip;
}

}  // namespace

TokenizerBase::TokenizerBase(const GgufFile& file, const VocabularyDefaults& defaults)
    : vocabulary_(file, defaults), special_(vocabulary_, strip_after(file, vocabulary_)) {}

std::vector<int32_t> TokenizerBase::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("A text of {} bytes is too long to tokenise at once; split it.", text.size()));
  }
  require_utf8(text);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 2);
  if (options.add_bos && vocabulary_.add_bos()) ids.push_back(vocabulary_.bos());
  bool after_special = true;
  for (const TextFragment& fragment : special_.split(text, options.parse_special)) {
    if (fragment.token >= 0) {
      ids.push_back(fragment.token);
    } else {
      encode_plain(fragment.text, after_special, ids);
    }
    after_special = fragment.token >= 0;
  }
  if (options.add_bos && vocabulary_.add_eos()) ids.push_back(vocabulary_.eos());
  return ids;
}

std::string TokenizerBase::token_bytes(int32_t token, bool special) const {
  vocabulary_.require(token);
  if (vocabulary_.is_special(token)) return special ? std::string(vocabulary_.text(token)) : std::string();
  if (vocabulary_.kind(token) == TokenKind::kUserDefined) return std::string(vocabulary_.text(token));
  return plain_bytes(token);
}

std::string TokenizerBase::decode(std::span<const int32_t> tokens, bool special) const {
  std::string text;
  bool at_start = adds_first_space();
  for (const int32_t token : tokens) {
    const std::string bytes = token_bytes(token, special);
    text += at_start && bytes.starts_with(' ') ? std::string_view(bytes).substr(1) : std::string_view(bytes);
    if (!bytes.empty() && !vocabulary_.is_special(token)) at_start = false;
  }
  return text;
}

std::string TokenizerBase::token_text(int32_t token) const {
  vocabulary_.require(token);
  return std::string(vocabulary_.text(token));
}

}  // namespace terrace
