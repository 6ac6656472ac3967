#include "runtime/text/pre_tokenizer_family.h"

#include <map>

namespace terrace {
namespace {

// The patterns are those of the models' tokenizer.json. Changes that leave every match the same:
// (?i:...) is written out in ASCII letters, and \s+$ became (?<!\s)\s++\z, which is linear on a text full of spaces. As
// in llama.cpp, DeepSeek's ranges of code points hold no white space.
const std::string kContractions = "'s|'t|'re|'ve|'m|'ll|'d";
const std::string kAnyContractions = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
const std::string kSpaces = "\\s+(?!\\S)|\\s+";

const std::string kGpt2 = kContractions + "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" + kSpaces;

/// The shape that cl100k began: a word with at most one character before it, some digits, signs with newlines after
/// them, newlines, spaces.
std::string cl100k(const std::string& digits) {
  return kAnyContractions + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" + kSpaces;
}

/// The shape that o200k began: words also end where lower case turns to upper case.
std::string o200k(const std::string& contractions, const std::string& digits) {
  const std::string upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
  const std::string lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
  const std::string before = "[^\\r\\n\\p{L}\\p{N}]?";
  return before + upper + "*" + lower + "+" + contractions + "|" + before + upper + "+" + lower + "*" + contractions +
         "|" + digits + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|" + kSpaces;
}

const std::string kLlama3 = cl100k("\\p{N}{1,3}");
const std::string kQwen2 = cl100k("\\p{N}");
const std::string kQwen35 =
    kAnyContractions +
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" + kSpaces;
const std::string kDeepseekV3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|" +
    kSpaces;
const std::string kDeepseekLetters =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-"
    "ὗὙὛὝὟ-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ"
    "\\x{1FBE}ῂ-ῄῆ-ῌῐ-\\x{1FD3}ῖ-\\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-"
    "ꞇꞋ-ꞎꭰ-ꮿ"
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
// U+0800 to U+9FA5 but for its white space, and Hangul.
const std::string kDeepseekCjk =
    "[\\x{800}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"
    "\\x{3001}-\\x{9FA5}"
    "\\x{AC00}-\\x{D7FF}]+";
const std::string kBloom = " ?[^(\\s|.,!?…。，、।۔،)]+";

std::map<std::string_view, PreTokenizerFamily> make_families() {
  const PreTokenizerFamily gpt2{{kGpt2}};
  const PreTokenizerFamily digits_then_gpt2{{"\\p{N}", kGpt2}};
  const PreTokenizerFamily llama3{{kLlama3}, true, true};
  const PreTokenizerFamily cl100k_plain{{kLlama3}};
  const PreTokenizerFamily qwen2{{kQwen2}};
  const PreTokenizerFamily deepseek_v3{{"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", kDeepseekV3}};
  const PreTokenizerFamily o200k_family{{o200k("(?:" + kAnyContractions + ")?", "\\p{N}{1,3}")}};
  const PreTokenizerFamily bailing{
      {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
       " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|" +
       kSpaces}};
  const PreTokenizerFamily classic{{"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}};
  std::map<std::string_view, PreTokenizerFamily> families;
  const auto name = [&](const PreTokenizerFamily& family, std::initializer_list<std::string_view> names) {
    for (const std::string_view each : names) families.emplace(each, family);
  };
  name(classic, {"", "default"});
  name(gpt2, {"gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling",
              "exaone4"});
  name(digits_then_gpt2,
       {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"});
  name(llama3, {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"});
  name(cl100k_plain, {"dbrx", "smaug-bpe", "chatglm-bpe"});
  name({{kLlama3}, true}, {"glm4", "glm5"});
  name({{"\\p{N}{1,3}", cl100k("\\p{N}+")}, true}, {"minicpm5"});
  name(qwen2, {"qwen2", "deepseek-r1-qwen", "kormo", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2"});
  name({{kQwen35}}, {"qwen35"});
  name(bailing, {"bailingmoe", "bailingmoe2", "llada-moe"});
  name({{kAnyContractions + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|" +
         kSpaces}},
       {"seed-coder"});
  name({{"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9][0-9][0-9]"}}, {"falcon"});
  name({{"[\\r\\n]", kDeepseekLetters, "\\s?[!-/:-~！-／：-～‘-‟、-。]+", "(?<!\\s)\\s++\\z", kDeepseekCjk, "\\p{N}+"}},
       {"deepseek-llm"});
  name({{"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kDeepseekCjk, "\\p{N}"}}, {"deepseek-coder"});
  name(deepseek_v3, {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"});
  name(o200k_family, {"gpt-4o", "llama4", "kanana2", "minimax-m2"});
  name({{o200k("", "\\p{N}")}, true, true}, {"tekken"});
  name({{kBloom}}, {"bloom", "poro-chat", "gpt3-finnish"});
  name({{kBloom, "\\p{N}"}}, {"viking"});
  name({.patterns = {"[^\\n]+|[\\n]+"}, .raw_utf8 = true}, {"gemma4"});
  return families;
}

const std::map<std::string_view, PreTokenizerFamily>& families() {
  static const std::map<std::string_view, PreTokenizerFamily> table = make_families();
  return table;
}

}  // namespace

std::optional<PreTokenizerFamily> find_pre_tokenizer_family(std::string_view pre) {
  const auto found = families().find(pre);
  if (found == families().end()) return std::nullopt;
  return found->second;
}

std::string known_pre_tokenizers() {
  std::string names;
  for (const auto& [name, family] : families()) {
    if (name.empty()) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

}  // namespace terrace
