// A whole small Llama-family model as a GGUF in memory: random weights in any format, for tests of loading and of the engine.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/dtype.h"
#include "tests/support/runtime/gguf_builder.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {

struct TinyModelOptions {
  std::string architecture = "llama";  // "gemma3": with its norms, their weights random
  int32_t layers = 2;
  int32_t hidden_size = 64;
  int32_t heads = 4;
  int32_t kv_heads = 2;
  int32_t head_dim = 32;  // also where heads * head_dim is not hidden_size
  int32_t ffn_size = 96;
  int32_t vocab_size = 100;
  int32_t context_length = 256;
  int32_t window = 0;     // attention.sliding_window
  DType format = DType::kF32;  // of the matrices; Q8_0 where a row is no multiple of its blocks
  bool tied_head = false;
  bool biases = false;         // on every linear layer
  const TinyVocabulary* vocabulary = nullptr;  // with its tokenizer, of vocab_size tokens; nullptr: "t0", "t1", ..., no tokenizer named
};

/// Keys and tensors; the caller may add more before build().
GgufBuilder make_tiny_model(const TinyModelOptions& options = {});

}  // namespace terrace
