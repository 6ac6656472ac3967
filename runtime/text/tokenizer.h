// Text to token ids and back, as the model's GGUF says (tokenizer.ggml.*). Immutable after construction: any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/gguf.h"

namespace terrace {

struct EncodeOptions {
  bool add_bos = true;         // where the model wants one
  bool parse_special = true;   // false: the text of special tokens is plain text
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Valid UTF-8 in (else Error(kInvalidValue) with the byte offset), ids out.
  virtual std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  /// The bytes of one token; special (control) tokens give their text only with `special`. May be half a character: see StreamDecoder.
  virtual std::string token_bytes(int32_t token, bool special) const = 0;
  /// All tokens' bytes, joined as the family does (SentencePiece drops the first space).
  virtual std::string decode(std::span<const int32_t> tokens, bool special) const = 0;

  virtual int32_t vocab_size() const = 0;
  virtual int32_t bos_token() const = 0;  // -1: none
  virtual int32_t eos_token() const = 0;
  virtual std::string token_text(int32_t token) const = 0;  // as the vocabulary writes it, e.g. "<|im_end|>", "Ġthe"
  /// Tokens that end generation: eos, eot, eom and what the family names so ("<|im_end|>", "<|eot_id|>", ...).
  virtual const std::vector<int32_t>& end_tokens() const = 0;
  virtual std::string describe() const = 0;  // "byte-level BPE (smollm), 49152 tokens"
};

/// Throws kModelUnsupported for a tokenizer model or pre-tokenizer that terrace does not know, naming those it does.
std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file);

}  // namespace terrace
