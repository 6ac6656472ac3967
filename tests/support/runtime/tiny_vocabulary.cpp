#include "tests/support/runtime/tiny_vocabulary.h"

#include <fmt/format.h>

#include "runtime/text/byte_alphabet.h"

namespace terrace {

int32_t TinyVocabulary::add(std::string text, int32_t type, float score) {
  tokens.push_back(std::move(text));
  types.push_back(type);
  if (!scores.empty() || model == "llama") scores.push_back(score);
  return static_cast<int32_t>(tokens.size()) - 1;
}

void TinyVocabulary::add_keys(GgufBuilder& builder) const {
  builder.add_string("tokenizer.ggml.model", model);
  if (!pre.empty()) builder.add_string("tokenizer.ggml.pre", pre);
  builder.add_strings("tokenizer.ggml.tokens", tokens);
  builder.add_i32s("tokenizer.ggml.token_type", types);
  if (!scores.empty()) builder.add_f32s("tokenizer.ggml.scores", scores);
  if (!merges.empty()) builder.add_strings("tokenizer.ggml.merges", merges);
  for (const auto& [key, id] : ids) builder.add_u32("tokenizer.ggml." + key, static_cast<uint32_t>(id));
  for (const auto& [key, flag] : flags) builder.add_bool("tokenizer.ggml." + key, flag);
}

std::string TinyVocabulary::bytes() const {
  GgufBuilder builder;
  if (!name.empty()) builder.add_string("general.name", name);
  add_keys(builder);
  return builder.build();
}

TinyVocabulary tiny_bpe(const std::string& pre) {
  TinyVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  const ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) vocabulary.add(alphabet.text_of(static_cast<uint8_t>(byte)));
  for (const char* merge : {"t h",  "th e", "Ġ the", "Ġ t", "h e",   "l l", "he ll", "hell o", "Ġ hello", "1 2",
                            "12 3", "Ġ Ġ",  "ĠĠ ĠĠ", "a b", "ab ab", "a a", "aa aa", "Ċ Ċ",    "Ã ©",     "ð Ł"}) {
    const std::string line = merge;
    const size_t space = line.find(' ');
    vocabulary.merges.push_back(line);
    vocabulary.add(line.substr(0, space) + line.substr(space + 1));
  }
  const int32_t im_start = vocabulary.add("<|im_start|>", 3);
  const int32_t im_end = vocabulary.add("<|im_end|>", 3);
  vocabulary.add("<|endoftext|>", 3);
  vocabulary.add("[TOOL]", 4);
  vocabulary.ids = {{"bos_token_id", im_start}, {"eos_token_id", im_end}};
  vocabulary.flags = {{"add_bos_token", false}};
  return vocabulary;
}

TinyVocabulary tiny_spm() {
  TinyVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.add("<unk>", 2);
  vocabulary.add("<s>", 3);
  vocabulary.add("</s>", 3);
  for (int byte = 0; byte < 256; ++byte) vocabulary.add(fmt::format("<0x{:02X}>", byte), 6);
  float score = -1;
  for (const char* text : {"▁t", "he", "▁the", "ll", "hell", "hello", "▁hello", "ab", "abab", "▁▁", "▁▁▁▁",
                           "é",  "▁",  "t",    "h",  "e",    "l",     "o",      "a",  "b",    "\n"}) {
    vocabulary.add(text, 1, score);
    score -= 1;
  }
  vocabulary.ids = {{"bos_token_id", 1}, {"eos_token_id", 2}, {"unknown_token_id", 0}};
  return vocabulary;
}

}  // namespace terrace
