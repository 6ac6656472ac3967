#include "runtime/model/shard.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/base/error.h"

namespace terrace {
namespace {

ModelConfig geometry(int32_t q_heads, int32_t kv_heads, int32_t head_dim, int32_t ffn, int32_t vocab) {
  ModelConfig model;
  model.num_layers = 4;
  model.hidden_size = q_heads * head_dim;
  model.num_q_heads = q_heads;
  model.num_kv_heads = kv_heads;
  model.head_dim = head_dim;
  model.ffn_size = ffn;
  model.vocab_size = vocab;
  return model;
}

std::vector<Shard> make_shards(const ModelConfig& model, int num_ranks) {
  std::vector<Shard> shards;
  for (int rank = 0; rank < num_ranks; ++rank) shards.push_back(make_shard(model, rank, num_ranks));
  return shards;
}

void expect_tiles(const std::vector<Shard>& shards, Range Shard::*member, int32_t size) {
  int32_t next = 0;
  for (const Shard& shard : shards) {
    const Range range = shard.*member;
    EXPECT_EQ(range.begin, next);
    EXPECT_GT(range.end, range.begin);
    next = range.end;
  }
  EXPECT_EQ(next, size);
}

void expect_sound(const ModelConfig& model, int num_ranks) {
  SCOPED_TRACE(testing::Message() << num_ranks << " ranks of " << model.num_q_heads << "/" << model.num_kv_heads);
  const std::vector<Shard> shards = make_shards(model, num_ranks);
  expect_tiles(shards, &Shard::q_heads, model.num_q_heads);
  expect_tiles(shards, &Shard::ffn, model.ffn_size);
  expect_tiles(shards, &Shard::vocab, model.vocab_size);
  for (const Shard& shard : shards) {
    EXPECT_EQ(shard.ffn.begin % 32, 0);
    EXPECT_EQ(shard.vocab.begin % 32, 0);
    ASSERT_EQ(shard.kv_head_of_q.size(), static_cast<size_t>(shard.q_heads.size()));
    for (int32_t i = 0; i < shard.q_heads.size(); ++i) {
      const int32_t kv_head = shard.kv_heads.begin + shard.kv_head_of_q[static_cast<size_t>(i)];
      EXPECT_EQ(kv_head, (shard.q_heads.begin + i) / (model.num_q_heads / model.num_kv_heads));
      EXPECT_LT(kv_head, shard.kv_heads.end);
    }
    EXPECT_EQ(shard.kv_head_of_q.front(), 0);  // keeps no KV head that its range does not touch
    EXPECT_EQ(shard.kv_head_of_q.back(), shard.kv_heads.size() - 1);
  }
}

std::vector<int32_t> head_counts(const std::vector<Shard>& shards) {
  std::vector<int32_t> counts;
  for (const Shard& shard : shards) counts.push_back(shard.q_heads.size());
  return counts;
}

TEST(ShardTest, CoversEverythingOnceForManyGeometries) {
  std::mt19937 random(7);
  const auto between = [&](int32_t low, int32_t high) { return std::uniform_int_distribution<int32_t>(low, high)(random); };
  for (int round = 0; round < 300; ++round) {
    const int32_t kv_heads = between(1, 12);
    const ModelConfig model = geometry(kv_heads * between(1, 8), kv_heads, 8 * between(1, 16), 32 * between(1, 300), between(1, 5000));
    const int32_t largest = std::min({model.num_q_heads, model.ffn_size / 32, (model.vocab_size + 31) / 32});
    expect_sound(model, between(1, largest));
    expect_sound(model, largest);
    EXPECT_THROW(make_shard(model, 0, largest + 1), Error);
  }
}

TEST(ShardTest, DealsSmolLm2sNineHeadsUnevenly) {
  const ModelConfig model = geometry(9, 3, 64, 1536, 49152);
  EXPECT_EQ(head_counts(make_shards(model, 2)), (std::vector<int32_t>{5, 4}));
  EXPECT_EQ(head_counts(make_shards(model, 3)), (std::vector<int32_t>{3, 3, 3}));
  EXPECT_EQ(head_counts(make_shards(model, 4)), (std::vector<int32_t>{3, 2, 2, 2}));
  EXPECT_EQ(make_shard(model, 2, 4).kv_heads, (Range{1, 3}));
  EXPECT_EQ(make_shard(model, 2, 4).kv_head_of_q, (std::vector<int32_t>{0, 1}));
}

TEST(ShardTest, KeepsOneKvHeadEachWhereRanksAreAMultipleOfThem) {
  const ModelConfig model = geometry(9, 3, 64, 1536, 49152);
  EXPECT_EQ(head_counts(make_shards(model, 6)), (std::vector<int32_t>{2, 1, 2, 1, 2, 1}));
  for (const int num_ranks : {3, 6, 9}) {
    for (const Shard& shard : make_shards(model, num_ranks)) EXPECT_EQ(shard.kv_heads.size(), 1);
  }
}

TEST(ShardTest, EvensOutUnevenHeadsByFfnColumns) {
  const ModelConfig model = geometry(9, 3, 64, 1536, 49152);
  const std::vector<Shard> shards = make_shards(model, 2);
  const auto layer_weights = [&](const Shard& shard) {
    return 2 * (shard.q_heads.size() + shard.kv_heads.size()) * model.head_dim + 3 * shard.ffn.size();  // rows of `hidden`
  };
  EXPECT_LT(shards[0].ffn.size(), shards[1].ffn.size());
  EXPECT_LE(std::abs(layer_weights(shards[0]) - layer_weights(shards[1])), 3 * 32);
}

TEST(ShardTest, NamesTheLargestRankCountThatWorks) {
  try {
    make_shard(geometry(9, 3, 64, 1536, 49152), 0, 10);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    EXPECT_NE(std::string_view(error.what()).find("by 9 ranks at most"), std::string_view::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
