#include "runtime/model/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "kernels/base/error.h"
#include "runtime/available_memory.h"
#include "runtime/model/gguf_reader.h"
#include "runtime/model/model_config.h"
#include "runtime/model/tensor_values.h"

namespace terrace {
namespace {

std::string line(std::string_view label, std::string_view text) { return fmt::format("{:<16}{}\n", label, text); }

/// A string of the file on one line of a terminal: no control characters.
std::string printable(std::string_view text) {
  std::string quoted = quote_for_message(text);
  return quoted.substr(1, quoted.size() - 2);
}

/// Nothing where all layers see all positions.
std::string window_line(const ModelConfig& model) {
  const auto layers = std::count_if(model.windows.begin(), model.windows.end(), [](int32_t window) { return window != 0; });
  if (layers == 0) return "";
  const int32_t window = *std::max_element(model.windows.begin(), model.windows.end());
  const std::string rope = model.window_rope ? fmt::format(", their rope {}", model.window_rope->description) : "";
  return line("window", fmt::format("{} tokens in {} of {} layers{}", window, layers, model.num_layers, rope));
}

std::string model_lines(const GgufFile& file) {
  try {
    const ModelConfig model = read_model_config(file);
    return line("architecture", fmt::format("{}, {} layers, hidden {}, FFN {}", model.architecture, model.num_layers, model.hidden_size, model.ffn_size)) +
           line("attention", fmt::format("{} query heads, {} KV heads of {}", model.num_q_heads, model.num_kv_heads, model.head_dim)) +
           line("rope", fmt::format("{}, {} of {} dimensions, {}", model.rope.description, model.rope.rotary_dim, model.head_dim,
                                    model.rope.style == RopeStyle::kHalves ? "halves" : "adjacent pairs")) +
           window_line(model) + line("context", fmt::format("{} tokens", model.context_length)) +
           line("vocabulary", fmt::format("{} tokens, {} output head", model.vocab_size, model.tied_head ? "tied" : "own"));
  } catch (const Error& error) {
    const auto architecture = file.find_string("general.architecture");
    return line("architecture", architecture ? printable(*architecture) : "none named") + line("runs", fmt::format("no: {}", error.what()));
  }
}

struct Share {
  size_t tensors = 0;
  int64_t parameters = 0;
  size_t bytes = 0;
};

std::string tensor_lines(const GgufFile& file) {
  std::map<DType, Share> shares;
  Share all;
  for (const GgufTensor& tensor : file.tensors()) {
    for (Share* share : {&shares[tensor.dtype], &all}) {
      ++share->tensors;
      share->parameters += tensor.rows() * tensor.cols();
      share->bytes += tensor.bytes;
    }
  }
  if (all.tensors == 0) return line("tensors", "none: a vocabulary only");
  std::vector<std::pair<DType, Share>> by_size(shares.begin(), shares.end());
  std::sort(by_size.begin(), by_size.end(), [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  const auto bits = [](const Share& share) { return 8.0 * static_cast<double>(share.bytes) / static_cast<double>(share.parameters); };
  std::string text = line("parameters", fmt::format("{:.1f} M in {} tensors, {}, {:.2f} bits each", static_cast<double>(all.parameters) / 1e6,
                                                    all.tensors, format_bytes(all.bytes), bits(all)));
  for (const auto& [dtype, share] : by_size) {
    text += line("", fmt::format("{:<5} {:>5} tensors {:>9.1f} M parameters {:>10}", dtype_info(dtype).name, share.tensors,
                                 static_cast<double>(share.parameters) / 1e6, format_bytes(share.bytes)));
  }
  return text;
}

std::string token_text(const GgufFile& file, std::string_view key) {
  const std::optional<int64_t> id = file.find_int(key);
  if (!id) return "none";
  const std::vector<std::string_view>* tokens = file.find_strings("tokenizer.ggml.tokens");
  if (tokens == nullptr || *id < 0 || *id >= static_cast<int64_t>(tokens->size())) return fmt::format("{} (not in the vocabulary)", *id);
  return fmt::format("{} {}", *id, quote_for_message((*tokens)[static_cast<size_t>(*id)]));
}

std::string tokenizer_lines(const GgufFile& file) {
  const auto model = file.find_string("tokenizer.ggml.model");
  const std::vector<std::string_view>* tokens = file.find_strings("tokenizer.ggml.tokens");
  if (!model || tokens == nullptr) return line("tokenizer", "none");
  const auto pre = file.find_string("tokenizer.ggml.pre");
  const std::vector<std::string_view>* merges = file.find_strings("tokenizer.ggml.merges");
  return line("tokenizer", fmt::format("{}{}, {} tokens, {} merges", printable(*model), pre ? " (" + printable(*pre) + ")" : "", tokens->size(),
                                       merges != nullptr ? merges->size() : 0)) +
         line("special tokens", fmt::format("bos {}, eos {}", token_text(file, "tokenizer.ggml.bos_token_id"),
                                            token_text(file, "tokenizer.ggml.eos_token_id")));
}

std::string template_line(const GgufFile& file) {
  const auto source = file.find_string("tokenizer.chat_template");
  if (!source) return line("chat template", "none");
  const auto lines = std::count(source->begin(), source->end(), '\n') + 1;
  return line("chat template", fmt::format("{} characters on {} line{}", source->size(), lines, lines == 1 ? "" : "s"));
}

}  // namespace

std::string inspect_model(const GgufFile& file) {
  return line("file", fmt::format("{}, {}", file.path(), format_bytes(file.file_bytes()))) +
         line("name", printable(file.find_string("general.name").value_or("none"))) + model_lines(file) + tensor_lines(file) + tokenizer_lines(file) +
         template_line(file);
}

}  // namespace terrace
