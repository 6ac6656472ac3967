#include "runtime/model/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>

#include "kernels/base/error.h"
#include "tests/support/runtime/gguf_builder.h"

namespace terrace {
namespace {

GgufFile parse(const std::string& bytes) { return GgufFile::parse(std::as_bytes(std::span(bytes)), "test.gguf"); }

GgufBuilder small_model() {
  GgufBuilder builder;
  builder.add_string("general.architecture", "llama")
      .add_u32("llama.block_count", 2)
      .add_u64("big", 1ull << 40)
      .add_i32("negative", -7)
      .add_f32("eps", 0.5f)
      .add_bool("flag", true)
      .add_strings("tokens", {"a", "", "c\n"})
      .add_i32s("types", {1, -2, 3})
      .add_f32s("scores", {0.25f, -1.0f})
      .add_f32_tensor("norm", {3}, {1, 2, 3})
      .add_tensor("matrix", DType::kQ8_0, {2, 64}, std::string(2 * 2 * 34, 'x'));
  return builder;
}

/// The sentence of the Error that `bytes` is refused with, or a note that it was not.
std::string refusal(const std::string& bytes, ErrorCode code = ErrorCode::kModelCorrupt) {
  try {
    parse(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "accepted";
}

void expect_says(const std::string& sentence, std::string_view part) {
  EXPECT_NE(sentence.find(part), std::string::npos) << "\"" << sentence << "\" lacks \"" << part << "\"";
}

TEST(GgufTest, ReadsKeysOfEveryKind) {
  const std::string bytes = small_model().build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_int("llama.block_count"), 2);
  EXPECT_EQ(file.find_int("big"), int64_t{1} << 40);
  EXPECT_EQ(file.find_int("negative"), -7);
  EXPECT_EQ(file.find_float("eps"), 0.5);
  EXPECT_EQ(file.find_float("llama.block_count"), 2.0);
  EXPECT_EQ(file.find_bool("flag"), true);
  EXPECT_EQ(*file.find_strings("tokens"), (std::vector<std::string_view>{"a", "", "c\n"}));
  EXPECT_EQ(*file.find_ints("types"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*file.find_floats("scores"), (std::vector<double>{0.25, -1.0}));
  EXPECT_EQ(file.find_int("absent"), std::nullopt);
  EXPECT_EQ(file.find_strings("absent"), nullptr);
  EXPECT_EQ(file.file_bytes(), bytes.size());
}

TEST(GgufTest, ReadsTensorsSlowestDimensionFirst) {
  const std::string bytes = small_model().build();
  const GgufFile file = parse(bytes);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "norm");
  const GgufTensor* matrix = file.find_tensor("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->shape, (std::vector<int64_t>{2, 64}));
  EXPECT_EQ(matrix->rows(), 2);
  EXPECT_EQ(matrix->cols(), 64);
  EXPECT_EQ(matrix->row_bytes(), 68u);
  EXPECT_EQ(matrix->bytes, 136u);
  EXPECT_EQ(static_cast<char>(matrix->data[135]), 'x');
  EXPECT_EQ(file.find_tensor("absent"), nullptr);
}

TEST(GgufTest, NamesAKeyOfTheWrongTypeOrThatIsMissing) {
  const std::string bytes = small_model().build();
  const GgufFile file = parse(bytes);
  const auto sentence = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  expect_says(sentence([&] { file.find_int("eps"); }), "key eps should be an integer");
  expect_says(sentence([&] { file.find_string("flag"); }), "key flag should be a string");
  expect_says(sentence([&] { file.find_ints("tokens"); }), "key tokens should be an array of integers");
  expect_says(sentence([&] { file.find_strings("flag"); }), "key flag should be an array of strings");
  expect_says(sentence([&] { file.get_int("absent"); }), "test.gguf lacks the key absent");
}

TEST(GgufTest, AcceptsVersion2AndRefusesOthersBySentence) {
  GgufBuilder builder = small_model();
  builder.version = 2;
  EXPECT_EQ(parse(builder.build()).tensors().size(), 2u);
  builder.version = 1;
  expect_says(refusal(builder.build(), ErrorCode::kModelUnsupported), "version 1");
  builder.version = 0x03000000;
  expect_says(refusal(builder.build(), ErrorCode::kModelUnsupported), "big-endian");
  expect_says(refusal("PK\x03\x04 no model at all"), "not a GGUF file");
  expect_says(refusal(""), "not a GGUF file");
}

TEST(GgufTest, RefusesDuplicates) {
  expect_says(refusal(small_model().add_u32("eps", 1).build()), "key \"eps\" is there twice");
  expect_says(refusal(small_model().add_f32_tensor("norm", {1}, {1}).build()), "tensor \"norm\" is there twice");
}

TEST(GgufTest, RefusesAbsurdTensors) {
  const auto with = [](uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset) {
    return small_model().add_tensor_entry("bad", type, dims, offset).build();
  };
  expect_says(refusal(with(0, {uint64_t{1} << 62}, 0)), "tensor \"bad\" has a dimension");
  expect_says(refusal(with(0, {uint64_t{1} << 33, uint64_t{1} << 33}, 0)), "tensor \"bad\" has a dimension");
  expect_says(refusal(with(0, {0}, 0)), "a dimension of 0");
  expect_says(refusal(with(0, {}, 0)), "0 dimensions");
  expect_says(refusal(with(0, {1, 1, 1, 1, 1}, 0)), "5 dimensions");
  expect_says(refusal(with(2, {33}, 0)), "not a multiple of Q4_0's blocks of 32");
  expect_says(refusal(with(0, {1}, 4)), "not a multiple of 32");
  expect_says(refusal(with(0, {1}, uint64_t{1} << 40)), "is the download complete");
  expect_says(refusal(with(0, {1 << 20}, 0)), "is the download complete");
  expect_says(refusal(with(0, {1}, 32)), "overlap");
  expect_says(refusal(with(16, {256}, 0), ErrorCode::kModelUnsupported), "element type 16");
}

TEST(GgufTest, RefusesAbsurdMetadata) {
  const auto with = [](uint32_t type, std::string_view payload) { return small_model().add_raw("bad", type, payload).build(); };
  const std::string huge(8, '\xff');
  expect_says(refusal(with(8, huge)), "key \"bad\" needs");
  expect_says(refusal(with(9, std::string("\x04\0\0\0", 4) + huge)), "key \"bad\" says 18446744073709551615");
  expect_says(refusal(with(7, "\x02")), "boolean of value 2");
  expect_says(refusal(with(13, "")), "unknown type 13");
  expect_says(refusal(with(9, std::string("\x09\0\0\0", 4) + huge), ErrorCode::kModelUnsupported), "array of arrays");
  expect_says(refusal(with(10, huge), ErrorCode::kModelUnsupported), "above the range");
  expect_says(refusal(small_model().add_u32("general.alignment", 12).build()), "general.alignment");
}

TEST(GgufTest, FollowsTheAlignmentKey) {
  GgufBuilder other;
  other.alignment = 64;
  other.add_u32("general.alignment", 64).add_f32_tensor("one", {1}, {5}).add_f32_tensor("two", {1}, {6});
  const std::string bytes = other.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.find_tensor("two")->data - file.find_tensor("one")->data, 64);
}

TEST(GgufTest, TakesAVocabularyWithoutTensors) {
  const std::string bytes = GgufBuilder().add_strings("tokenizer.ggml.tokens", {"a"}).build();
  EXPECT_TRUE(parse(bytes).tensors().empty());
}

TEST(GgufTest, RefusesTruncationAtEveryByte) {
  const std::string bytes = small_model().build();
  const size_t needed = bytes.size() - (32 - 136 % 32);  // the padding after the last tensor may be missing
  for (size_t length = 0; length < needed; ++length) ASSERT_NE(refusal(bytes.substr(0, length)), "accepted") << length;
  EXPECT_EQ(refusal(bytes.substr(0, needed)), "accepted");
}

TEST(GgufTest, SurvivesEveryBitFlip) {
  const std::string bytes = small_model().build();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      parse(flipped);
    } catch (const Error& error) {
      ASSERT_TRUE(error.code() == ErrorCode::kModelCorrupt || error.code() == ErrorCode::kModelUnsupported) << error.what();
    }
  }
}

TEST(GgufTest, JoinsThePartsOfASplitModelFromAnyOfThem) {
  const TemporaryFolder folder;
  std::vector<std::string> paths;
  for (uint32_t part = 0; part < 3; ++part) {
    GgufBuilder builder;
    if (part == 0) builder.add_string("general.architecture", "llama");
    builder.add_u32("split.no", part).add_u32("split.count", 3).add_u32("split.tensors.count", 3);
    builder.add_f32_tensor("tensor" + std::to_string(part), {1}, {static_cast<float>(part)});
    paths.push_back(folder.write("m-0000" + std::to_string(part + 1) + "-of-00003.gguf", builder.build()));
  }
  for (const std::string& path : paths) {
    const GgufFile file = GgufFile::open(path);
    EXPECT_EQ(file.path(), paths.front());
    EXPECT_EQ(file.get_string("general.architecture"), "llama");
    ASSERT_EQ(file.tensors().size(), 3u);
    EXPECT_EQ(file.tensors()[2].name, "tensor2");
  }
  folder.write("m-00002-of-00003.gguf", GgufBuilder().add_u32("split.no", 0).add_u32("split.count", 3).build());
  EXPECT_THROW(GgufFile::open(paths[0]), Error);
  std::remove(paths[1].c_str());
  EXPECT_THROW(GgufFile::open(paths[0]), Error);
}

TEST(GgufTest, NamesAFileThatCannotBeOpened) {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.path() + "/none.gguf", folder.path()}) {
    try {
      GgufFile::open(path);
      FAIL() << path;
    } catch (const Error& error) {
      expect_says(std::string(error.what()), path);
      EXPECT_EQ(exit_code(error.code()), 3);
    }
  }
}

TEST(GgufTest, OpensTheDemoModel) {
  const char* path = std::getenv("TERRACE_TEST_MODEL");
  if (path == nullptr || *path == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL is unset";
  const GgufFile file = GgufFile::open(path);
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.tensors().size(), 272u);
  EXPECT_EQ(file.find_tensor("token_embd.weight")->shape, (std::vector<int64_t>{49152, 576}));
}

}  // namespace
}  // namespace terrace
