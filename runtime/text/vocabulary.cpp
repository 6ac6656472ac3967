#include "runtime/text/vocabulary.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "kernels/base/error.h"

namespace terrace {
namespace {

// Texts that end a turn or a text, whatever the file says of their kind. Source: llama.cpp's list of end-of-generation
// tokens, which collects what chat models are trained with.
constexpr std::array<std::string_view, 30> kEndTexts = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|end_of_turn|>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    // padding, repository and file separators of fill-in-the-middle models
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<|fim_repo|>", "<|repo_name|>", "<reponame>", "<|file_sep|>"};

// Fill-in-the-middle markers: control tokens even where the file calls them normal.
constexpr std::array<std::string_view, 15> kControlTexts = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "▁<PRE>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>",  "▁<SUF>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>",   "▁<MID>"};

[[noreturn]] void corrupt(const GgufFile& file, const std::string& what) {
  throw Error(ErrorCode::kModelCorrupt,
              fmt::format("{}: {}; get the file anew or convert the model again.", file.path(), what));
}

}  // namespace

Vocabulary::Vocabulary(const GgufFile& file, const VocabularyDefaults& defaults) {
  read_texts(file);
  read_kinds_and_scores(file);
  index_texts(file);
  read_special_ids(file, defaults);
  mark_well_known();
}

void Vocabulary::read_texts(const GgufFile& file) {
  const std::vector<std::string_view>* tokens = file.find_strings("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->empty())
    corrupt(file, "the list of tokens (tokenizer.ggml.tokens) is missing or empty");
  if (tokens->size() > size_t{1} << 28)
    corrupt(file, fmt::format("{} tokens are more than any model has", tokens->size()));
  ends_.reserve(tokens->size() + 1);
  ends_.push_back(0);
  for (const std::string_view text : *tokens) {
    texts_ += text;
    ends_.push_back(texts_.size());
    max_text_bytes_ = std::max(max_text_bytes_, text.size());
  }
}

void Vocabulary::read_kinds_and_scores(const GgufFile& file) {
  const size_t count = ends_.size() - 1;
  kinds_.assign(count, TokenKind::kNormal);
  if (const std::vector<int64_t>* types = file.find_ints("tokenizer.ggml.token_type")) {
    if (types->size() != count)
      corrupt(file, fmt::format("tokenizer.ggml.token_type has {} entries for {} tokens", types->size(), count));
    for (size_t i = 0; i < count; ++i) {
      const int64_t type = (*types)[i];
      if (type < 0 || type > 6)
        corrupt(file, fmt::format("tokenizer.ggml.token_type[{}] is {}, which no token type is", i, type));
      if (type > 0) kinds_[i] = static_cast<TokenKind>(type);  // 0: undefined, read as normal
    }
  }
  if (const std::vector<double>* scores = file.find_floats("tokenizer.ggml.scores")) {
    if (scores->size() != count)
      corrupt(file, fmt::format("tokenizer.ggml.scores has {} entries for {} tokens", scores->size(), count));
    scores_.assign(scores->begin(), scores->end());
  }
}

int32_t Vocabulary::find(std::string_view wanted) const {
  const size_t mask = buckets_.size() - 1;
  for (size_t at = XXH3_64bits(wanted.data(), wanted.size()) & mask;; at = (at + 1) & mask) {
    const int32_t token = buckets_[at];
    if (token < 0 || text(token) == wanted) return token;
  }
}

void Vocabulary::index_texts(const GgufFile& file) {
  buckets_.assign(std::bit_ceil(kinds_.size() * 2), -1);
  const size_t mask = buckets_.size() - 1;
  for (int32_t token = 0; token < size(); ++token) {
    const std::string_view key = text(token);
    if (key.empty()) continue;  // a hole in the vocabulary: no text ever becomes it
    size_t at = XXH3_64bits(key.data(), key.size()) & mask;
    for (; buckets_[at] >= 0; at = (at + 1) & mask) {
      if (text(buckets_[at]) == key)
        corrupt(file, fmt::format("tokens {} and {} have the same text '{}'", buckets_[at], token, key));
    }
    buckets_[at] = token;
  }
}

void Vocabulary::read_special_ids(const GgufFile& file, const VocabularyDefaults& defaults) {
  const auto id = [&](std::string_view key, int32_t fallback) {
    const std::optional<int64_t> value = file.find_int(key);
    if (!value) return fallback < size() ? fallback : -1;
    if (*value == int64_t{std::numeric_limits<uint32_t>::max()} || *value == -1) return -1;  // written for "none"
    if (*value < 0 || *value >= size())
      corrupt(file, fmt::format("{} is {}, outside the vocabulary of {} tokens", key, *value, size()));
    return static_cast<int32_t>(*value);
  };
  bos_ = id("tokenizer.ggml.bos_token_id", defaults.bos);
  eos_ = id("tokenizer.ggml.eos_token_id", defaults.eos);
  unknown_ = id("tokenizer.ggml.unknown_token_id", defaults.unknown);
  for (const int32_t token : {eos_, id("tokenizer.ggml.eot_token_id", -1), id("tokenizer.ggml.eom_token_id", -1)}) {
    if (token >= 0) end_tokens_.push_back(token);
  }
  add_bos_ = file.find_bool("tokenizer.ggml.add_bos_token").value_or(defaults.add_bos && bos_ >= 0);
  add_eos_ = file.find_bool("tokenizer.ggml.add_eos_token").value_or(false);
  if (add_bos_ && bos_ < 0)
    corrupt(file, "the texts shall begin with a BOS token, but tokenizer.ggml.bos_token_id is missing");
  if (add_eos_ && eos_ < 0)
    corrupt(file, "the texts shall end with an EOS token, but tokenizer.ggml.eos_token_id is missing");
}

void Vocabulary::mark_well_known() {
  const auto has = [&](std::string_view wanted) { return find(wanted) >= 0; };
  // Two families where a usual end text means something else: <|end|> ends a message but not the turn where <|return|>
  // or <|flush|> does, and </s> is HTML where turns end by <turn|>.
  const bool end_is_inner =
      has("<|end|>") && ((has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>")));
  const bool s_is_plain = has("<|tool_response>") && has("</s>");
  for (const std::string_view wanted : kEndTexts) {
    const int32_t token = find(wanted);
    if (token < 0) continue;
    if (s_is_plain && wanted == "</s>") {
      kinds_[static_cast<size_t>(token)] = TokenKind::kNormal;
    } else if (end_is_inner && wanted == "<|end|>") {
      kinds_[static_cast<size_t>(token)] = TokenKind::kUserDefined;
    } else {
      kinds_[static_cast<size_t>(token)] = TokenKind::kControl;
      end_tokens_.push_back(token);
    }
  }
  for (const std::string_view wanted : kControlTexts) {
    if (const int32_t token = find(wanted); token >= 0) kinds_[static_cast<size_t>(token)] = TokenKind::kControl;
  }
  std::sort(end_tokens_.begin(), end_tokens_.end());
  end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());
}

void Vocabulary::require(int32_t token) const {
  if (token >= 0 && token < size()) return;
  throw Error(ErrorCode::kInvalidValue,
              fmt::format("Token {} is outside the vocabulary: its ids are 0 to {}.", token, size() - 1));
}

}  // namespace terrace
