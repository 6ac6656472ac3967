#include "runtime/model/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/model/gguf_reader.h"
#include "runtime/model/rope.h"
#include "runtime/model/tensor_values.h"

namespace terrace {
namespace {

struct Architecture {
  std::string_view name;
  RopeStyle rope_style;
  bool gemma3 = false;
};

// Mistral's models call themselves llama. The query and key rows of a `llama` file are permuted by its converter for adjacent pairs.
constexpr std::array<Architecture, 3> kArchitectures = {
    {{"llama", RopeStyle::kAdjacentPairs}, {"qwen2", RopeStyle::kHalves}, {"gemma3", RopeStyle::kHalves, true}}};

/// Bounds far beyond any model, so that products of them fit int64 and a damaged file does not ask for absurd memory.
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxContext = 1 << 30;
constexpr int64_t kMaxHeadDim = 1024;

const Architecture& find_architecture(const GgufFile& file) {
  const std::string_view name = file.get_string("general.architecture");
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return architecture;
  }
  throw Error(ErrorCode::kModelUnsupported, fmt::format("{} is a model of architecture {}; terrace runs llama (Mistral's included), qwen2 and gemma3.",
                                                        file.path(), quote_for_message(name)));
}

/// Keys of one architecture ("llama.block_count"), checked for range.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  int32_t get_int(std::string_view key, int64_t max) const { return check(key, file_.get_int(prefix_ + std::string(key)), max); }

  int32_t find_int(std::string_view key, int64_t otherwise, int64_t max) const {
    return check(key, file_.find_int(prefix_ + std::string(key)).value_or(otherwise), max);
  }

  /// A value that the format allows to differ from layer to layer; terrace wants one for all.
  int32_t find_uniform_int(std::string_view key, std::optional<int64_t> otherwise, int64_t max) const {
    const std::string full = prefix_ + std::string(key);
    const auto found = file_.metadata().find(full);
    if (found == file_.metadata().end() && otherwise) return check(key, *otherwise, max);
    if (found == file_.metadata().end() || !std::holds_alternative<GgufArray>(found->second)) return get_int(key, max);
    const std::vector<int64_t>& values = *file_.find_ints(full);
    for (const int64_t value : values) {
      if (value != values.front()) unsupported(fmt::format("{} differs from layer to layer", full));
    }
    return check(key, values.empty() ? 0 : values.front(), max);
  }

  double find_float(std::string_view key, double otherwise) const {
    const double value = file_.find_float(prefix_ + std::string(key)).value_or(otherwise);
    if (!std::isfinite(value)) corrupt(fmt::format("{}{} is no finite number", prefix_, key));
    return value;
  }

  double find_positive_float(std::string_view key, double otherwise) const {
    const double value = find_float(key, otherwise);
    if (value <= 0) corrupt(fmt::format("{}{} is {}, it should be above 0", prefix_, key, value));
    return value;
  }

  std::string full_name(std::string_view key) const { return prefix_ + std::string(key); }
  std::optional<std::string_view> find_string(std::string_view key) const { return file_.find_string(prefix_ + std::string(key)); }
  std::optional<bool> find_bool(std::string_view key) const { return file_.find_bool(prefix_ + std::string(key)); }
  bool has(std::string_view key) const { return file_.metadata().contains(prefix_ + std::string(key)); }

  [[noreturn]] void corrupt(std::string_view what) const {
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: {}.", file_.path(), what));
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    throw Error(ErrorCode::kModelUnsupported, fmt::format("{}: {}, which terrace does not run.", file_.path(), what));
  }

 private:
  int32_t check(std::string_view key, int64_t value, int64_t max) const {
    if (value < 1 || value > max) corrupt(fmt::format("{}{} is {}, it should be between 1 and {}", prefix_, key, value, max));
    return static_cast<int32_t>(value);
  }

  const GgufFile& file_;
  std::string prefix_;
};

/// What the kernels and the sharding need of any geometry; empty if all is well.
std::string find_geometry_problem(const ModelConfig& model) {
  if (model.num_q_heads % model.num_kv_heads != 0) {
    return fmt::format("the {} query heads are no multiple of the {} KV heads", model.num_q_heads, model.num_kv_heads);
  }
  if (model.head_dim % 8 != 0) return fmt::format("the head dimension {} is no multiple of 8", model.head_dim);
  if (model.hidden_size % 32 != 0) return fmt::format("the hidden size {} is no multiple of 32", model.hidden_size);
  if (model.ffn_size % 32 != 0) return fmt::format("the FFN size {} is no multiple of 32", model.ffn_size);
  if (int64_t{model.num_q_heads} * model.head_dim % 32 != 0) {
    return fmt::format("{} heads of {} are no multiple of 32", model.num_q_heads, model.head_dim);
  }
  if (model.rope.rotary_dim % 2 != 0 || model.rope.rotary_dim > model.head_dim) {
    return fmt::format("the rotary dimension {} is odd or above the head dimension {}", model.rope.rotary_dim, model.head_dim);
  }
  return "";
}

RopeScaling read_rope_scaling(const GgufFile& file, const KeyReader& keys, int32_t rotary_dim, int32_t context_length) {
  RopeScaling scaling;
  const std::string_view type = keys.find_string("rope.scaling.type").value_or("linear");
  const double old_factor = keys.find_float("rope.scale_linear", 0);  // the key of old files
  scaling.factor = keys.find_float("rope.scaling.factor", old_factor);
  if (scaling.factor == 0) scaling.factor = 1;
  if (scaling.factor < 0) keys.corrupt("the rope scaling factor is below 0");
  scaling.original_context = keys.find_int("rope.scaling.original_context_length", context_length, kMaxContext);
  scaling.attention_factor = keys.find_positive_float("rope.scaling.attn_factor", 1);
  if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
    scaling.beta_fast = keys.find_positive_float("rope.scaling.yarn_beta_fast", 32);
    scaling.beta_slow = keys.find_positive_float("rope.scaling.yarn_beta_slow", 1);
    scaling.extrapolation = keys.find_float("rope.scaling.yarn_ext_factor", 1);
    scaling.attention_factor *= keys.find_positive_float("rope.scaling.yarn_attn_factor", 1);
    scaling.log_multiplier = keys.find_float("rope.scaling.yarn_log_multiplier", 0);
  } else if (type == "linear") {
    if (scaling.factor != 1) scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type != "none") {
    keys.unsupported(fmt::format("its rope scaling is {}", quote_for_message(type)));
  }
  if (file.find_tensor("rope_freqs.weight") != nullptr) {
    const GgufTensor& tensor = get_tensor(file, "rope_freqs.weight", {rotary_dim / 2});
    scaling.pair_factors = read_values(file, tensor, 0, rotary_dim / 2);
    for (const float factor : scaling.pair_factors) {
      if (factor <= 0) keys.corrupt("tensor rope_freqs.weight holds a factor that is not above 0");
    }
  }
  return scaling;
}

RopeConfig read_rope(const GgufFile& file, const KeyReader& keys, RopeStyle style, const ModelConfig& model) {
  const int32_t rotary_dim = keys.find_int("rope.dimension_count", model.head_dim, kMaxHeadDim);
  if (rotary_dim % 2 != 0) keys.corrupt(fmt::format("the rotary dimension {} is odd", rotary_dim));
  const double base = keys.find_float("rope.freq_base", 10000);
  if (base <= 1) keys.corrupt(fmt::format("rope.freq_base is {}, it should be above 1", base));
  return make_rope_config(style, rotary_dim, base, read_rope_scaling(file, keys, rotary_dim, model.context_length));
}

/// Features that change the arithmetic and that terrace lacks: better refused than answered wrongly.
void refuse_unknown_features(const KeyReader& keys) {
  if (keys.has("expert_count") && keys.find_float("expert_count", 0) != 0) keys.unsupported("it is a mixture of experts");
  if (keys.find_bool("attention.causal") == false) keys.unsupported("its attention is not causal");
  for (const std::string_view key : {"logit_scale", "embedding_scale", "residual_scale", "attention.clamp_kqv"}) {
    if (keys.has(key) && keys.find_float(key, 1) != 1) keys.unsupported(fmt::format("it sets {}", key));
  }
  for (const std::string_view key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (keys.find_float(key, 0) != 0) keys.unsupported(fmt::format("it sets {}", key));
  }
}

/// Which layers have the model's window: all, but for every `full_every`-th and where the file has a pattern of its own, which is such
/// a number or a truth value a layer.
std::vector<int32_t> read_windows(const GgufFile& file, const KeyReader& keys, int32_t num_layers, int32_t full_every) {
  std::vector<int32_t> windows(static_cast<size_t>(num_layers), 0);
  if (keys.find_float("attention.sliding_window", 0) == 0) return windows;
  const int32_t window = keys.get_int("attention.sliding_window", kMaxContext);
  const std::string pattern_key = keys.full_name("attention.sliding_window_pattern");
  const auto found = file.metadata().find(pattern_key);
  if (found != file.metadata().end() && std::holds_alternative<GgufArray>(found->second)) {
    const std::vector<int64_t>& local = *file.find_ints(pattern_key);
    if (local.size() != windows.size()) keys.corrupt(fmt::format("{} has {} values for {} layers", pattern_key, local.size(), num_layers));
    for (size_t layer = 0; layer < windows.size(); ++layer) windows[layer] = local[layer] != 0 ? window : 0;
    return windows;
  }
  full_every = keys.find_int("attention.sliding_window_pattern", full_every, kMaxLayers + 1);
  for (int32_t layer = 0; layer < num_layers; ++layer) windows[static_cast<size_t>(layer)] = (layer + 1) % full_every != 0 ? window : 0;
  return windows;
}

/// Source: Gemma 3's reference code as transformers has it (modeling_gemma3.py), with norm weights as the GGUF stores them (1 added).
void read_gemma3(const KeyReader& keys, ModelConfig& model) {
  model.embedding_scale = std::sqrt(static_cast<float>(model.hidden_size));
  model.gate_activation = GateActivation::kGeluTanh;
  model.head_norms = true;
  model.post_norms = true;
  const double base = keys.find_float("rope.freq_base_swa", 10000);
  if (base <= 1) keys.corrupt(fmt::format("rope.freq_base_swa is {}, it should be above 1", base));
  model.window_rope = make_rope_config(model.rope.style, model.rope.rotary_dim, base, {});  // a scaling is of the other layers
}

int32_t read_vocab_size(const GgufFile& file, const KeyReader& keys) {
  const std::vector<std::string_view>* tokens = file.find_strings("tokenizer.ggml.tokens");
  if (keys.has("vocab_size") || tokens == nullptr) return keys.get_int("vocab_size", kMaxVocab);
  return keys.find_int("vocab_size", static_cast<int64_t>(tokens->size()), kMaxVocab);
}

// llama.cpp's numbers: 0 none, 1 mean, 2 the first token, 3 the last, 4 a score. A first token sees nothing but itself here, so 2 says no more than 0.
std::optional<Pooling> read_pooling(const GgufFile& file, const KeyReader& keys) {
  const int64_t type = file.find_int(keys.full_name("pooling_type")).value_or(0);
  return type == 1 ? std::optional(Pooling::kMean) : type == 3 ? std::optional(Pooling::kLast) : std::nullopt;
}

}  // namespace

ModelConfig read_model_config(const GgufFile& file) {
  const Architecture& architecture = find_architecture(file);
  const KeyReader keys(file, architecture.name);
  refuse_unknown_features(keys);
  ModelConfig model;
  model.architecture = architecture.name;
  model.name = file.find_string("general.name").value_or(architecture.name);
  model.num_layers = keys.get_int("block_count", kMaxLayers);
  model.hidden_size = keys.get_int("embedding_length", kMaxWidth);
  model.num_q_heads = keys.find_uniform_int("attention.head_count", std::nullopt, kMaxWidth);
  model.num_kv_heads = keys.find_uniform_int("attention.head_count_kv", model.num_q_heads, kMaxWidth);
  const int32_t default_dim = model.hidden_size / model.num_q_heads;
  model.head_dim = keys.find_int("attention.key_length", default_dim, kMaxHeadDim);
  if (const int32_t value_dim = keys.find_int("attention.value_length", default_dim, kMaxHeadDim); value_dim != model.head_dim) {
    keys.unsupported(fmt::format("its keys have {} dimensions and its values {}", model.head_dim, value_dim));
  }
  model.ffn_size = keys.find_uniform_int("feed_forward_length", std::nullopt, kMaxWidth);
  model.vocab_size = read_vocab_size(file, keys);
  model.context_length = keys.get_int("context_length", kMaxContext);
  model.windows = read_windows(file, keys, model.num_layers, architecture.gemma3 ? 6 : kMaxLayers + 1);
  // A qwen2 file does not say from which layer on it has its window. Up to there it is a model with full attention.
  if (architecture.name == "qwen2" && model.windows.front() != 0) {
    model.context_length = std::min(model.context_length, model.windows.front());
    std::fill(model.windows.begin(), model.windows.end(), 0);
  }
  model.rms_eps = static_cast<float>(keys.find_positive_float("attention.layer_norm_rms_epsilon", 1e-5));
  // Gemma 3 27B, alone among them, divides by another root (query_pre_attn_scalar 168), and the format has no key for it.
  const bool is_27b = architecture.gemma3 && model.num_layers == 62;
  const double default_scale = 1 / std::sqrt(static_cast<double>(is_27b ? default_dim : model.head_dim));
  model.attention_scale = static_cast<float>(keys.find_positive_float("attention.scale", default_scale));
  model.tied_head = file.find_tensor("output.weight") == nullptr;
  model.pooling = read_pooling(file, keys);
  model.rope = read_rope(file, keys, architecture.rope_style, model);
  if (architecture.gemma3) read_gemma3(keys, model);
  if (const std::string problem = find_geometry_problem(model); !problem.empty()) keys.unsupported(problem);
  return model;
}

ModelConfig make_dummy_model_config(const GeometryConfig& geometry) {
  const auto check = [](std::string_view key, int64_t value, int64_t max) {
    if (value < 1 || value > max) {
      throw Error(ErrorCode::kInvalidValue, fmt::format("model.geometry.{} is {}, it should be between 1 and {}.", key, value, max));
    }
    return static_cast<int32_t>(value);
  };
  ModelConfig model;
  model.architecture = "llama";
  model.name = "dummy";
  model.num_layers = check("layers", geometry.layers, kMaxLayers);
  model.hidden_size = check("hidden_size", geometry.hidden_size, kMaxWidth);
  model.num_q_heads = check("heads", geometry.heads, kMaxWidth);
  model.num_kv_heads = check("kv_heads", geometry.kv_heads, kMaxWidth);
  model.head_dim = check("head_dim", geometry.head_dim != 0 ? geometry.head_dim : model.hidden_size / model.num_q_heads, kMaxHeadDim);
  model.ffn_size = check("ffn_size", geometry.ffn_size, kMaxWidth);
  model.vocab_size = check("vocab_size", geometry.vocab_size, kMaxVocab);
  model.context_length = check("context_length", geometry.context_length, kMaxContext);
  model.attention_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(model.head_dim)));
  if (!(geometry.rope_base > 1) || !std::isfinite(geometry.rope_base)) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("model.geometry.rope_base is {}, it should be above 1.", geometry.rope_base));
  }
  model.rope.rotary_dim = model.head_dim;
  if (const std::string problem = find_geometry_problem(model); !problem.empty()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("model.geometry cannot be run: {}.", problem));
  }
  model.rope = make_rope_config(RopeStyle::kAdjacentPairs, model.head_dim, geometry.rope_base, {});
  model.windows.resize(static_cast<size_t>(model.num_layers), 0);
  return model;
}

LayerGroups ModelConfig::layer_groups() const {
  std::vector<AttentionWindow> of_layers;
  for (int32_t layer = 0; layer < num_layers; ++layer) of_layers.push_back(window_of(layer));
  return make_layer_groups(of_layers);
}

void set_attention_window(const AttentionSection& attention, ModelConfig& model) {
  if (attention.window == 0) return;
  if (*std::max_element(model.windows.begin(), model.windows.end()) > 0) {
    throw Error(ErrorCode::kInvalidValue, "attention.window is for models whose layers all see everything, and this one has windows of its own: leave it out");
  }
  if (attention.window + attention.sinks > model.context_length) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("attention.window {} and attention.sinks {} together exceed the model's context of {} tokens",
                                                      attention.window, attention.sinks, model.context_length));
  }
  std::fill(model.windows.begin(), model.windows.end(), attention.window);
  model.sinks = attention.sinks;
  model.endless = true;
}

Pooling default_pooling(const EmbeddingsSection& embeddings, const ModelConfig& model) {
  if (embeddings.pooling == "auto") return model.pooling.value_or(Pooling::kMean);
  return embeddings.pooling == "last" ? Pooling::kLast : Pooling::kMean;
}

std::string model_title(const ModelConfig& model) {
  return fmt::format("{} ({})", model.name.empty() ? "random weights" : model.name, model.architecture);
}

}  // namespace terrace
