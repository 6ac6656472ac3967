#include "runtime/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "kernels/base/error.h"

namespace terrace {
namespace {

// A text is refused where one match takes more steps than this; honest matches are runs of one class, linear in the
// text.
constexpr uint32_t kMatchLimit = 1'000'000'000;

struct CharacterClass {
  std::string_view name;
  std::string_view body;  // what stands between [ and ]
};

// PCRE2 10.42's classes and what Unicode 15.1 added to them since 14.0 (Unicode Character Database, UnicodeData.txt of
// both); ASCII first, as PCRE2 looks that up in a bitmap.
constexpr std::array<CharacterClass, 8> kClasses = {{
    {"\\p{L}",
     "A-Za-z\\p{L}\\x{1123F}-\\x{11240}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}\\x{13441}-\\x{"
     "13446}\\x{1B132}"
     "\\x{1B155}\\x{1DF25}-\\x{1DF2A}\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{"
     "31350}-\\x{323AF}"},
    {"\\p{Ll}", "a-z\\p{Ll}\\x{1DF25}-\\x{1DF2A}"},
    {"\\p{Lo}",  // and Lm, which no pattern names without Lo
     "\\p{Lo}\\x{1123F}-\\x{11240}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}\\x{13441}-\\x{13446}"
     "\\x{1B132}"
     "\\x{1B155}\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"},
    {"\\p{N}", "0-9\\p{N}\\x{11F50}-\\x{11F59}\\x{1D2C0}-\\x{1D2D3}\\x{1E4F0}-\\x{1E4F9}"},
    {"\\p{P}", "\\p{P}\\x{11B00}-\\x{11B09}\\x{11F43}-\\x{11F4F}"},
    {"\\p{S}",
     "\\p{S}\\x{2FFC}-\\x{2FFF}\\x{31EF}\\x{1F6DC}\\x{1F774}-\\x{1F776}\\x{1F77B}-\\x{1F77F}\\x{1F7D9}\\x{1FA75}-\\x{"
     "1FA77}"
     "\\x{1FA87}-\\x{1FA88}\\x{1FAAD}-\\x{1FAAF}\\x{1FABB}-\\x{1FABD}\\x{1FABF}\\x{1FACE}-\\x{1FACF}\\x{1FADA}-\\x{"
     "1FADB}\\x{1FAE8}"
     "\\x{1FAF7}-\\x{1FAF8}"},
    {"\\p{M}",
     "\\p{M}\\x{CF3}\\x{ECE}\\x{10EFD}-\\x{10EFF}\\x{11241}\\x{11F00}-\\x{11F01}\\x{11F03}\\x{11F34}-\\x{11F3A}\\x{"
     "11F3E}-\\x{11F42}"
     "\\x{13440}\\x{13447}-\\x{13455}\\x{1E08F}\\x{1E4EC}-\\x{1E4EF}"},
    {"\\s", "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"},
}};

/// The pattern with the classes' names replaced by their bodies; `\S` is the complement of `\s` and may not stand in
/// [].
std::string expand_classes(std::string_view pattern) {
  std::string expanded;
  bool in_brackets = false;
  for (size_t at = 0; at < pattern.size();) {
    const std::string_view rest = pattern.substr(at);
    const auto* named = std::find_if(kClasses.begin(), kClasses.end(),
                                     [&](const CharacterClass& c) { return rest.starts_with(c.name); });
    if (named != kClasses.end()) {
      expanded += in_brackets ? std::string(named->body) : fmt::format("[{}]", named->body);
      at += named->name.size();
    } else if (rest.starts_with("\\S")) {
      expanded += fmt::format("[^{}]", kClasses.back().body);
      at += 2;
    } else if (rest[0] == '\\') {
      expanded += rest.substr(0, 2);
      at += 2;
    } else {
      if (rest[0] == '[') in_brackets = true;
      if (rest[0] == ']') in_brackets = false;
      expanded += rest[0];
      ++at;
    }
  }
  return expanded;
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return std::string(reinterpret_cast<const char*>(text.data()));
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatchData>;

}  // namespace

class PreTokenizer::Regex {
 public:
  explicit Regex(std::string_view pattern) : limits_(pcre2_match_context_create(nullptr)) {
    const std::string expanded = expand_classes(pattern);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                              PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE, &error, &offset, nullptr));
    if (!code_)
      throw Error(ErrorCode::kInternal, fmt::format("{} at {} of pattern {}", pcre2_message(error), offset, expanded));
    // Fails where the machine forbids code made at run time; the interpreter gives the same matches, slower.
    jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
    pcre2_set_match_limit(limits_.get(), kMatchLimit);
  }

  /// Appends the matches in `piece` and what lies between them.
  void cut(std::string_view piece, pcre2_match_data* data, std::vector<std::string_view>& words) const {
    const PCRE2_SIZE* const bounds = pcre2_get_ovector_pointer(data);
    size_t done = 0;
    while (done < piece.size() && match(piece, done, data)) {
      if (done < bounds[0]) words.push_back(piece.substr(done, bounds[0] - done));
      words.push_back(piece.substr(bounds[0], bounds[1] - bounds[0]));
      done = bounds[1];
    }
    if (done < piece.size()) words.push_back(piece.substr(done));
  }

 private:
  bool match(std::string_view piece, size_t from, pcre2_match_data* data) const {
    const auto* const subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    int result = PCRE2_ERROR_JIT_STACKLIMIT;
    if (jit_) result = pcre2_jit_match(code_.get(), subject, piece.size(), from, PCRE2_NOTEMPTY, data, limits_.get());
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
      result = pcre2_match(code_.get(), subject, piece.size(), from, PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                           data, limits_.get());
    }
    if (result >= 0) return true;
    if (result == PCRE2_ERROR_NOMATCH) return false;
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("The text cannot be split into words near byte {} of a piece of {} bytes: {}.", from,
                            piece.size(), pcre2_message(result)));
  }

  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> limits_;
  bool jit_ = false;
};

PreTokenizer::PreTokenizer(std::span<const std::string> patterns) {
  for (const std::string& pattern : patterns) regexes_.emplace_back(pattern);
}
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> words;
  if (text.empty()) return words;
  const MatchData data(pcre2_match_data_create(1, nullptr));
  words.push_back(text);
  std::vector<std::string_view> pieces;
  for (const Regex& regex : regexes_) {
    pieces.swap(words);
    words.clear();
    words.reserve(pieces.size() + text.size() / 4);
    for (const std::string_view piece : pieces) regex.cut(piece, data.get(), words);
  }
  return words;
}

}  // namespace terrace
