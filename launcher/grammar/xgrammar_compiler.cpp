#include <fmt/format.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <boost/json.hpp>
#include <list>
#include <mutex>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/grammar/grammar_compiler.h"
#include "launcher/grammar/xgrammar_log.h"

namespace terrace {
namespace {

constexpr size_t kMaxFormatBytes = 256 << 10;
constexpr size_t kMaxKept = 64;  // compiled formats
// xgrammar 0.2.9 recurses into the brackets of a pattern (120,000 overflow the stack), and chains of references take the square of their length.
constexpr int kMaxBrackets = 1000;
constexpr int kMaxReferences = 500;

void require_bounded(std::string_view format) {
  if (format.size() > kMaxFormatBytes) throw Error(ErrorCode::kInvalidValue, fmt::format("it is longer than {} KiB", kMaxFormatBytes >> 10));
  int depth = 0, num_references = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '(' && ++depth > kMaxBrackets) throw Error(ErrorCode::kInvalidValue, fmt::format("a pattern nests deeper than {}", kMaxBrackets));
    if (format[i] == ')') depth = std::max(depth - 1, 0);
    num_references += format.substr(i).starts_with("\"$ref\"");
  }
  if (num_references > kMaxReferences) throw Error(ErrorCode::kInvalidValue, fmt::format("it has more than {} references", kMaxReferences));
}

class XgrammarConstraint : public TokenConstraint {
 public:
  explicit XgrammarConstraint(const xgrammar::CompiledGrammar& grammar)
      : matcher_(grammar), vocab_size_(grammar.GetTokenizerInfo().GetVocabSize()) {}

  void fill(TokenMask& mask) override {
    int64_t num_words = xgrammar::GetBitmaskSize(vocab_size_);
    int64_t stride = 1;
    mask.words.assign(static_cast<size_t>(num_words), ~uint32_t{0});
    DLTensor words{mask.words.data(), {kDLCPU, 0}, 1, xgrammar::GetBitmaskDLType(), &num_words, &stride, 0};
    matcher_.FillNextTokenBitmask(&words);
    for (const int token : matcher_.GetStopTokenIds()) mask.words[static_cast<size_t>(token) / 32] &= ~(uint32_t{1} << (token % 32));
    if (const int rest = vocab_size_ % 32; rest != 0) mask.words.back() &= (uint32_t{1} << rest) - 1;
    mask.may_end = matcher_.IsCompleted();
  }

  void accept(int32_t token) override {
    if (!matcher_.AcceptToken(token)) throw Error(ErrorCode::kInternal, fmt::format("the grammar does not take token {}, which its mask allowed", token));
  }

 private:
  xgrammar::GrammarMatcher matcher_;
  int vocab_size_;
};

class XgrammarGrammar : public Grammar {
 public:
  explicit XgrammarGrammar(xgrammar::CompiledGrammar compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<TokenConstraint> start() const override { return std::make_shared<XgrammarConstraint>(compiled_); }

 private:
  xgrammar::CompiledGrammar compiled_;
};

// A control token's text begins with a byte that is in no character, so that a grammar takes it only as {"type": "token"}; without any text it would take it nowhere.
xgrammar::TokenizerInfo tokenizer_info(const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string text = tokenizer.token_bytes(token, false);
    const std::string control = text.empty() ? tokenizer.token_bytes(token, true) : "";
    texts.push_back(control.empty() ? text : "\xff" + control);
  }
  return {texts, xgrammar::VocabType::RAW, tokenizer.vocab_size(), tokenizer.end_tokens()};
}

// Masks of a grammar's states are made when they are first needed and kept with it: by the mask maker's thread, not by who compiles.
xgrammar::GrammarCompiler lazy_compiler(const Tokenizer& tokenizer) {
  constexpr int kThreads = 1;
  constexpr bool kCached = false, kLazy = true;
  return {tokenizer_info(tokenizer), kThreads, kCached, -1, kLazy};
}

}  // namespace

struct GrammarCompiler::Impl {
  struct Kept {
    std::string format;
    std::shared_ptr<const Grammar> grammar;
    std::vector<std::string> warnings;  // what of the format it does not enforce
  };

  explicit Impl(const Tokenizer& model_tokenizer) : tokenizer(model_tokenizer) {}

  Kept compile(std::string format);
  Kept find_or_compile(std::string format);

  const Tokenizer& tokenizer;
  std::once_flag once;
  xgrammar::GrammarCompiler compiler{xgrammar::NullObj{}};  // once it is needed: a vocabulary takes a tenth of a second
  std::mutex mutex;                                         // guards what follows
  std::list<Kept> kept;                                     // last used first
};

GrammarCompiler::Impl::Kept GrammarCompiler::Impl::compile(std::string format) {
  std::call_once(once, [&] { compiler = lazy_compiler(tokenizer); });
  take_xgrammar_warnings();
  try {
    auto grammar = std::make_shared<XgrammarGrammar>(compiler.CompileStructuralTag(R"({"type":"structural_tag","format":)" + format + "}"));
    return {std::move(format), std::move(grammar), take_xgrammar_warnings()};
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::kInvalidValue, error.what());
  }
}

GrammarCompiler::Impl::Kept GrammarCompiler::Impl::find_or_compile(std::string format) {
  {
    const std::lock_guard lock(mutex);
    const auto it = std::ranges::find(kept, format, &Kept::format);
    if (it != kept.end()) {
      kept.splice(kept.begin(), kept, it);
      return kept.front();
    }
  }
  Kept compiled = compile(std::move(format));
  const std::lock_guard lock(mutex);
  kept.push_front(compiled);
  if (kept.size() > kMaxKept) kept.pop_back();
  return compiled;
}

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer) : impl_(std::make_unique<Impl>(tokenizer)) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const Grammar> GrammarCompiler::compile(const boost::json::object& format, bool strict) {
  std::string text = boost::json::serialize(format);
  require_bounded(text);
  const Impl::Kept compiled = impl_->find_or_compile(std::move(text));
  if (strict && !compiled.warnings.empty()) throw Error(ErrorCode::kInvalidValue, compiled.warnings.front());
  return compiled.grammar;
}

}  // namespace terrace
