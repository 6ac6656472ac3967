// Writes a small random Llama as a GGUF file, for scripts: tiny_model_writer FILE [FORMAT]. 9 query heads over 3 KV heads of 64 columns, so that
// 2 ranks share them unevenly and cut a KV group, and a tokenizer of bytes with a few merges.
#include <cstdio>
#include <fstream>
#include <optional>

#include "kernels/base/dtype.h"
#include "tests/support/runtime/tiny_model.h"

int main(int argc, char** argv) {
  using namespace terrace;
  if (argc < 2) {
    std::fprintf(stderr, "usage: tiny_model_writer FILE [FORMAT]\n");
    return 2;
  }
  const TinyVocabulary vocabulary = tiny_bpe("smollm");
  TinyModelOptions options = {.layers = 2, .hidden_size = 128, .heads = 9, .kv_heads = 3, .head_dim = 64, .ffn_size = 192};
  options.vocab_size = static_cast<int32_t>(vocabulary.tokens.size());
  options.vocabulary = &vocabulary;
  options.format = DType::kQ4_1;
  if (argc > 2) {
    const std::optional<DType> named = dtype_from_name(argv[2]);
    if (!named) {
      std::fprintf(stderr, "tiny_model_writer: no format %s\n", argv[2]);
      return 2;
    }
    options.format = *named;
  }
  std::ofstream file(argv[1], std::ios::binary);
  file << make_tiny_model(options).build();
  file.close();
  return file ? 0 : 1;
}
