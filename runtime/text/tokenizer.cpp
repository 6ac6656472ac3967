#include "runtime/text/tokenizer.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "runtime/text/bpe_tokenizer.h"
#include "runtime/text/pre_tokenizer_family.h"
#include "runtime/text/spm_tokenizer.h"

namespace terrace {
namespace {

std::unique_ptr<Tokenizer> make_bpe(const GgufFile& file, std::string_view pre) {
  const std::optional<PreTokenizerFamily> family = find_pre_tokenizer_family(pre);
  if (!family) {
    throw Error(ErrorCode::kModelUnsupported,
                fmt::format("{}: terrace does not know the pre-tokenizer '{}' (tokenizer.ggml.pre); it knows {}.",
                            file.path(), pre, known_pre_tokenizers()));
  }
  return std::make_unique<BpeTokenizer>(file, *family, pre.empty() ? "default" : pre);
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file) {
  const std::string_view model = file.get_string("tokenizer.ggml.model");
  if (model == "gpt2") return make_bpe(file, file.find_string("tokenizer.ggml.pre").value_or(""));
  if (model == "gemma4") return make_bpe(file, model);
  if (model == "llama") return std::make_unique<SpmTokenizer>(file);
  throw Error(
      ErrorCode::kModelUnsupported,
      fmt::format(
          "{}: terrace does not know the tokenizer '{}' (tokenizer.ggml.model); it knows gpt2 (byte-level BPE), gemma4 "
          "(BPE over characters) and llama (SentencePiece BPE).",
          file.path(), model));
}

}  // namespace terrace
