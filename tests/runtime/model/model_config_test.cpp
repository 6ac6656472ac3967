#include "runtime/model/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "kernels/base/error.h"
#include "tests/support/runtime/gguf_builder.h"

namespace terrace {
namespace {

GgufBuilder llama_keys() {
  return GgufBuilder()
      .add_string("general.architecture", "llama")
      .add_string("general.name", "Tiny")
      .add_u32("llama.block_count", 2)
      .add_u32("llama.embedding_length", 128)
      .add_u32("llama.attention.head_count", 8)
      .add_u32("llama.feed_forward_length", 256)
      .add_u32("llama.context_length", 1000)
      .add_f32("llama.attention.layer_norm_rms_epsilon", 1e-6f)
      .add_strings("tokenizer.ggml.tokens", {"a", "b", "c"});
}

ModelConfig read(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return read_model_config(GgufFile::parse(std::as_bytes(std::span(bytes)), "test.gguf"));
}

void expect_refused(const GgufBuilder& builder, ErrorCode code, std::string_view part) {
  try {
    read(builder);
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
  }
}

TEST(ModelConfigTest, ReadsLlamaKeysWithTheirDefaults) {
  const ModelConfig model = read(llama_keys());
  EXPECT_EQ(model.architecture, "llama");
  EXPECT_EQ(model.name, "Tiny");
  EXPECT_EQ(model.num_layers, 2);
  EXPECT_EQ(model.hidden_size, 128);
  EXPECT_EQ(model.num_q_heads, 8);
  EXPECT_EQ(model.num_kv_heads, 8);
  EXPECT_EQ(model.head_dim, 16);
  EXPECT_EQ(model.ffn_size, 256);
  EXPECT_EQ(model.vocab_size, 3);
  EXPECT_EQ(model.context_length, 1000);
  EXPECT_FLOAT_EQ(model.rms_eps, 1e-6f);
  EXPECT_FLOAT_EQ(model.attention_scale, 0.25f);
  EXPECT_TRUE(model.tied_head);
  EXPECT_EQ(model.rope.style, RopeStyle::kAdjacentPairs);
  EXPECT_EQ(model.rope.rotary_dim, 16);
  ASSERT_EQ(model.rope.inverse_frequency.size(), 8u);
  EXPECT_FLOAT_EQ(model.rope.inverse_frequency[0], 1.0f);
  EXPECT_FLOAT_EQ(model.rope.inverse_frequency[4], 0.01f);  // 10000^(-4/8)
}

TEST(ModelConfigTest, TakesKvHeadsAsAnArrayWhereAllLayersAgree) {
  EXPECT_EQ(read(llama_keys().add_i32s("llama.attention.head_count_kv", {2, 2})).num_kv_heads, 2);
  expect_refused(llama_keys().add_i32s("llama.attention.head_count_kv", {2, 4}), ErrorCode::kModelUnsupported, "differs from layer to layer");
  expect_refused(llama_keys().add_i32s("llama.attention.head_count_kv", {}), ErrorCode::kModelCorrupt, "head_count_kv is 0");
}

TEST(ModelConfigTest, PoolsAsTheUserSaysElseAsTheFileElseTheMean) {
  const auto pooling = [](const char* wanted, uint32_t type) {
    EmbeddingsSection section;
    section.pooling = wanted;
    return default_pooling(section, read(llama_keys().add_u32("llama.pooling_type", type)));
  };
  EXPECT_EQ(default_pooling({}, read(llama_keys())), Pooling::kMean);
  for (const uint32_t type : {0u, 1u, 2u, 4u, 99u}) EXPECT_EQ(pooling("auto", type), Pooling::kMean) << type;
  EXPECT_EQ(pooling("auto", 3), Pooling::kLast);
  EXPECT_EQ(pooling("mean", 3), Pooling::kMean);
  EXPECT_EQ(pooling("last", 1), Pooling::kLast);
}

TEST(ModelConfigTest, RunsQwen2WithHalvesRope) {
  GgufBuilder builder;
  builder.add_string("general.architecture", "qwen2")
      .add_u32("qwen2.block_count", 1)
      .add_u32("qwen2.embedding_length", 64)
      .add_u32("qwen2.attention.head_count", 2)
      .add_u32("qwen2.feed_forward_length", 64)
      .add_u32("qwen2.context_length", 128)
      .add_u32("qwen2.vocab_size", 10);
  EXPECT_EQ(read(builder).rope.style, RopeStyle::kHalves);
  EXPECT_EQ(read(builder).vocab_size, 10);
  const ModelConfig windowed = read(builder.add_u32("qwen2.attention.sliding_window", 100));
  EXPECT_EQ(windowed.context_length, 100);
  EXPECT_EQ(windowed.windows, std::vector<int32_t>{0});
}

TEST(ModelConfigTest, AWindowDoesNotCapTheContextWhereItsLayersAreKnown) {
  EXPECT_EQ(read(llama_keys().add_u32("llama.attention.sliding_window", 100)).context_length, 1000);
  EXPECT_EQ(read(llama_keys().add_u32("llama.attention.sliding_window", 0)).context_length, 1000);
}

GgufBuilder gemma3_keys(uint32_t layers = 7) {
  return GgufBuilder()
      .add_string("general.architecture", "gemma3")
      .add_u32("gemma3.block_count", layers)
      .add_u32("gemma3.embedding_length", 640)
      .add_u32("gemma3.attention.head_count", 4)
      .add_u32("gemma3.attention.head_count_kv", 1)
      .add_u32("gemma3.attention.key_length", 256)
      .add_u32("gemma3.attention.value_length", 256)
      .add_u32("gemma3.feed_forward_length", 2048)
      .add_u32("gemma3.context_length", 32768)
      .add_f32("gemma3.rope.freq_base", 1e6f)
      .add_u32("gemma3.vocab_size", 10);
}

TEST(ModelConfigTest, RunsGemma3WithItsNormsGateAndTwoRopes) {
  const ModelConfig model = read(gemma3_keys().add_u32("gemma3.attention.sliding_window", 512));
  EXPECT_EQ(model.head_dim, 256);
  EXPECT_FLOAT_EQ(model.attention_scale, 1.0f / 16);
  EXPECT_FLOAT_EQ(model.embedding_scale, 25.298221f);
  EXPECT_EQ(model.gate_activation, GateActivation::kGeluTanh);
  EXPECT_TRUE(model.head_norms);
  EXPECT_TRUE(model.post_norms);
  EXPECT_TRUE(model.tied_head);
  EXPECT_EQ(model.windows, (std::vector<int32_t>{512, 512, 512, 512, 512, 0, 512}));
  EXPECT_EQ(model.rope.style, RopeStyle::kHalves);
  EXPECT_FLOAT_EQ(model.rope_of(5).inverse_frequency[64], 1e-3f);  // base 1e6
  EXPECT_FLOAT_EQ(model.rope_of(6).inverse_frequency[64], 1e-2f);  // base 1e4
}

TEST(ModelConfigTest, ReadsGemma3sRopesAndScale) {
  const ModelConfig model = read(gemma3_keys()
                                     .add_u32("gemma3.attention.sliding_window", 512)
                                     .add_f32("gemma3.rope.freq_base_swa", 4e4f)
                                     .add_string("gemma3.rope.scaling.type", "linear")
                                     .add_f32("gemma3.rope.scaling.factor", 8)
                                     .add_f32("gemma3.attention.scale", 0.5f));
  EXPECT_FLOAT_EQ(model.rope_of(5).inverse_frequency[64], 1e-3f / 8);
  EXPECT_FLOAT_EQ(model.rope_of(0).inverse_frequency[64], 1 / 200.0f) << "the scaling is of full layers";
  EXPECT_EQ(model.attention_scale, 0.5f);
  EXPECT_FLOAT_EQ(read(gemma3_keys(62)).attention_scale, static_cast<float>(1 / std::sqrt(160.0))) << "27B";
  expect_refused(gemma3_keys().add_f32("gemma3.rope.freq_base_swa", 1), ErrorCode::kModelCorrupt, "rope.freq_base_swa is 1");
}

TEST(ModelConfigTest, AUsersWindowIsForModelsThatSeeEverything) {
  ModelConfig model = read(llama_keys());
  EXPECT_EQ(model.layer_groups().windows, std::vector{AttentionWindow()});
  set_attention_window({.window = 0, .sinks = 4}, model);
  EXPECT_FALSE(model.endless);
  EXPECT_THROW(set_attention_window({.window = 997, .sinks = 4}, model), Error);
  set_attention_window({.window = 996, .sinks = 4}, model);
  EXPECT_TRUE(model.endless);
  EXPECT_EQ(model.window_of(1), (AttentionWindow{996, 4}));
  EXPECT_EQ(model.layer_groups().windows, (std::vector{AttentionWindow{996, 4}}));
  ModelConfig interleaved = read(gemma3_keys().add_u32("gemma3.attention.sliding_window", 512));
  EXPECT_EQ(interleaved.layer_groups().windows.front(), AttentionWindow());
  EXPECT_EQ(interleaved.layer_groups().windows.back(), (AttentionWindow{512, 0}));
  EXPECT_THROW(set_attention_window({.window = 100, .sinks = 4}, interleaved), Error);
  ModelConfig windowed = read(llama_keys().add_u32("llama.attention.sliding_window", 100));
  EXPECT_EQ(windowed.layer_groups().windows, (std::vector{AttentionWindow{100, 0}}));
}

TEST(ModelConfigTest, ReadsWhichLayersHaveAWindow) {
  const auto windows = [](const GgufBuilder& builder) { return read(builder).windows; };
  EXPECT_EQ(windows(gemma3_keys(3)), (std::vector<int32_t>{0, 0, 0}));
  const auto with_window = [] { return gemma3_keys(3).add_u32("gemma3.attention.sliding_window", 9); };
  EXPECT_EQ(windows(with_window().add_u32("gemma3.attention.sliding_window_pattern", 2)), (std::vector<int32_t>{9, 0, 9}));
  EXPECT_EQ(windows(with_window().add_i32s("gemma3.attention.sliding_window_pattern", {0, 1, 1})), (std::vector<int32_t>{0, 9, 9}));
  expect_refused(with_window().add_i32s("gemma3.attention.sliding_window_pattern", {0, 1}), ErrorCode::kModelCorrupt, "has 2 values for 3 layers");
  EXPECT_EQ(windows(llama_keys().add_u32("llama.attention.sliding_window", 100)), (std::vector<int32_t>{100, 100}));
}

TEST(ModelConfigTest, NamesWhatItCannotRun) {
  expect_refused(gemma3_keys().add_f32("gemma3.attn_logit_softcapping", 50), ErrorCode::kModelUnsupported, "attn_logit_softcapping");
  expect_refused(gemma3_keys().add_f32("gemma3.final_logit_softcapping", 30), ErrorCode::kModelUnsupported, "final_logit_softcapping");
  expect_refused(GgufBuilder().add_string("general.architecture", "mamba"), ErrorCode::kModelUnsupported, "\"mamba\"; terrace runs llama");
  expect_refused(GgufBuilder(), ErrorCode::kModelCorrupt, "lacks the key general.architecture");
  expect_refused(llama_keys().add_u32("llama.expert_count", 8), ErrorCode::kModelUnsupported, "mixture of experts");
  expect_refused(llama_keys().add_f32("llama.logit_scale", 8), ErrorCode::kModelUnsupported, "logit_scale");
  expect_refused(llama_keys().add_string("llama.rope.scaling.type", "longrope"), ErrorCode::kModelUnsupported, "\"longrope\"");
  expect_refused(llama_keys().add_u32("llama.attention.head_count_kv", 3), ErrorCode::kModelUnsupported, "no multiple of the 3 KV heads");
  expect_refused(llama_keys().add_u32("llama.attention.key_length", 20), ErrorCode::kModelUnsupported, "and its values");
  expect_refused(llama_keys().add_u32("llama.rope.dimension_count", 32), ErrorCode::kModelUnsupported, "rotary dimension 32");
  expect_refused(llama_keys().add_f32("llama.rope.freq_base", 0), ErrorCode::kModelCorrupt, "rope.freq_base is 0");
}

TEST(ModelConfigTest, RefusesAbsurdSizes) {
  const auto with_layers = [](uint64_t layers) {
    return GgufBuilder().add_string("general.architecture", "llama").add_u64("llama.block_count", layers);
  };
  expect_refused(with_layers(0), ErrorCode::kModelCorrupt, "block_count is 0");
  expect_refused(with_layers(uint64_t{1} << 40), ErrorCode::kModelCorrupt, "block_count is 1099511627776");
  expect_refused(with_layers(2), ErrorCode::kModelCorrupt, "lacks the key llama.embedding_length");
}

TEST(RopeTest, LinearScalingDividesEveryFrequency) {
  const ModelConfig plain = read(llama_keys());
  const ModelConfig scaled = read(llama_keys().add_string("llama.rope.scaling.type", "linear").add_f32("llama.rope.scaling.factor", 4));
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(scaled.rope.inverse_frequency[i], plain.rope.inverse_frequency[i] / 4);
  EXPECT_EQ(scaled.rope.description, "base 10000, linear x4");
  const ModelConfig none = read(llama_keys().add_string("llama.rope.scaling.type", "none").add_f32("llama.rope.scaling.factor", 4));
  EXPECT_EQ(none.rope.inverse_frequency, plain.rope.inverse_frequency);
}

TEST(RopeTest, Llama3FactorsComeFromTheirTensor) {
  const std::vector<float> factors = {1, 1, 1, 1, 2, 4, 8, 8};
  const ModelConfig plain = read(llama_keys());
  const ModelConfig scaled = read(llama_keys().add_f32_tensor("rope_freqs.weight", {8}, factors));
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(scaled.rope.inverse_frequency[i], plain.rope.inverse_frequency[i] / factors[i]);
  EXPECT_EQ(scaled.rope.attention_factor, 1.0f);
  expect_refused(llama_keys().add_f32_tensor("rope_freqs.weight", {7}, std::vector<float>(7, 1.0f)), ErrorCode::kModelCorrupt, "shape [7]");
  expect_refused(llama_keys().add_f32_tensor("rope_freqs.weight", {8}, std::vector<float>(8, 0.0f)), ErrorCode::kModelCorrupt, "not above 0");
}

// Figures of the paper's formulas, worked out apart from the code: head 128, base 1e6, x4 of 32,768 (Qwen2.5's published setting).
TEST(RopeTest, YarnKeepsFastPairsAndStretchesSlowOnes) {
  GgufBuilder builder;
  builder.add_string("general.architecture", "qwen2")
      .add_u32("qwen2.block_count", 1)
      .add_u32("qwen2.embedding_length", 256)
      .add_u32("qwen2.attention.head_count", 2)
      .add_u32("qwen2.feed_forward_length", 64)
      .add_u32("qwen2.context_length", 131072)
      .add_u32("qwen2.vocab_size", 10)
      .add_f32("qwen2.rope.freq_base", 1e6f)
      .add_string("qwen2.rope.scaling.type", "yarn")
      .add_f32("qwen2.rope.scaling.factor", 4)
      .add_u32("qwen2.rope.scaling.original_context_length", 32768);
  const RopeConfig rope = read(builder).rope;
  const auto plain = [](int pair) { return std::pow(1e6, -pair / 64.0); };
  // The pair that turns 32 times in 32,768 positions: 64 ln(32768 / (64 pi)) / ln(1e6) = 23.6; once: 39.7.
  for (const int pair : {0, 10, 23}) EXPECT_NEAR(rope.inverse_frequency[static_cast<size_t>(pair)] / plain(pair), 1, 1e-5) << pair;
  for (const int pair : {40, 50, 63}) EXPECT_NEAR(rope.inverse_frequency[static_cast<size_t>(pair)] / plain(pair), 0.25, 1e-5) << pair;
  EXPECT_NEAR(rope.inverse_frequency[30] / plain(30), 1 - 0.75 * 7 / 17, 1e-5);
  EXPECT_NEAR(rope.attention_factor, 0.1 * std::log(4.0) + 1, 1e-6);
  EXPECT_EQ(rope.description, "base 1e+06, yarn x4 of 32768");
}

TEST(ModelConfigTest, MakesADummyOfAGeometry) {
  GeometryConfig geometry;
  geometry.hidden_size = 8192;
  geometry.heads = 64;
  geometry.kv_heads = 8;
  geometry.ffn_size = 28672;
  geometry.vocab_size = 128256;
  geometry.rope_base = 500000;
  const ModelConfig model = make_dummy_model_config(geometry);
  EXPECT_EQ(model.head_dim, 128);
  EXPECT_FALSE(model.tied_head);
  EXPECT_EQ(model.rope.inverse_frequency.size(), 64u);
  geometry.kv_heads = 7;
  EXPECT_THROW(make_dummy_model_config(geometry), Error);
  geometry.kv_heads = 0;
  EXPECT_THROW(make_dummy_model_config(geometry), Error);
}

TEST(ModelConfigTest, ReadsTheDemoModel) {
  const char* path = std::getenv("TERRACE_TEST_MODEL");
  if (path == nullptr || *path == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL is unset";
  const ModelConfig model = read_model_config(GgufFile::open(path));
  EXPECT_EQ(model.num_layers, 30);
  EXPECT_EQ(model.hidden_size, 576);
  EXPECT_EQ(model.num_q_heads, 9);
  EXPECT_EQ(model.num_kv_heads, 3);
  EXPECT_EQ(model.head_dim, 64);
  EXPECT_EQ(model.vocab_size, 49152);
  EXPECT_EQ(model.context_length, 8192);
  EXPECT_TRUE(model.tied_head);
  EXPECT_EQ(model.rope.description, "base 100000");
}

}  // namespace
}  // namespace terrace
