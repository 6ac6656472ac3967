// Any bytes as text for small vocabularies: encode must refuse exactly what is not UTF-8, and decode must give the text
// back.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/text/stream_decoder.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace {

using terrace::Tokenizer;

std::vector<std::unique_ptr<Tokenizer>> make_tokenizers() {
  std::vector<terrace::TinyVocabulary> vocabularies = {terrace::tiny_spm()};
  for (const char* pre :
       {"default", "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "gpt-4o", "tekken", "falcon", "bloom", "seed-coder", "bailingmoe", "minicpm5"}) {
    vocabularies.push_back(terrace::tiny_bpe(pre));
  }
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  for (const terrace::TinyVocabulary& vocabulary : vocabularies) {
    const std::string bytes = vocabulary.bytes();
    tokenizers.push_back(
        terrace::make_tokenizer(terrace::GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf")));
  }
  return tokenizers;
}

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const Tokenizer& tokenizer, const std::string& text, bool parse_special) {
  const bool valid = terrace::find_invalid_utf8(text) == std::string::npos;
  std::vector<int32_t> ids;
  try {
    ids = tokenizer.encode(text, {.add_bos = false, .parse_special = parse_special});
  } catch (const terrace::Error& error) {
    require(!valid && error.code() == terrace::ErrorCode::kInvalidValue);
    return;
  }
  require(valid);
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer.vocab_size());
  const bool is_spm = tokenizer.describe().starts_with("SentencePiece");
  // SentencePiece writes a space after every special token and reads ▁ as a space: no round trip for those.
  if (is_spm && (parse_special || text.find("▁") != std::string::npos)) return;
  require(tokenizer.decode(ids, true) == text);
  if (parse_special) return;
  terrace::StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  require(streamed + stream.finish() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::unique_ptr<Tokenizer>> tokenizers = make_tokenizers();
  if (size < 1) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The first byte chooses the vocabulary.
  check(*tokenizers[data[0] % tokenizers.size()], text, (data[0] & 0x80) != 0);
  return 0;
}
