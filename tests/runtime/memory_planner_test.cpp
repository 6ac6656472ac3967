#include "runtime/memory_planner.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "runtime/available_memory.h"
#include "tests/support/runtime/gguf_builder.h"

namespace terrace {
namespace {

constexpr size_t kGiB = size_t{1} << 30;

ModelConfig smollm2() {
  GeometryConfig geometry;
  geometry.layers = 30;
  geometry.hidden_size = 576;
  geometry.heads = 9;
  geometry.kv_heads = 3;
  geometry.ffn_size = 1536;
  geometry.vocab_size = 49152;
  geometry.context_length = 8192;
  return make_dummy_model_config(geometry);
}

TEST(MemoryPlannerTest, GivesAShareOfWhatIsLeftToPages) {
  const ModelConfig model = smollm2();
  Config config;
  config.cache.device = {0, 50};
  const MemoryPlan plan = plan_memory(config, model, make_shard(model, 0, 1), {2 * kGiB, kGiB / 4});
  EXPECT_EQ(plan.layout.page_stride, 368640u);  // 30 layers x K and V x 3 heads x 16 tokens x 64 dims x 2 bytes
  EXPECT_EQ(plan.kv_bytes_per_token, 23040u);
  EXPECT_EQ(plan.left, 2 * kGiB - kGiB / 4 - plan.workspace);
  EXPECT_EQ(plan.num_frames, static_cast<int32_t>(plan.left / 2 / 368640));
  EXPECT_EQ(plan.kv_bytes, static_cast<size_t>(plan.num_frames) * 368640);
  EXPECT_FALSE(plan.capped);
}

TEST(MemoryPlannerTest, TakesNoMorePagesThanFullContextsCanUse) {
  const ModelConfig model = smollm2();
  Config config;
  config.scheduler.max_sequences = 2;
  const MemoryPlan plan = plan_memory(config, model, make_shard(model, 0, 3), {100 * kGiB, kGiB});
  EXPECT_EQ(plan.num_frames, 2 * 512);
  EXPECT_TRUE(plan.capped);
  EXPECT_EQ(plan.layout.num_kv_heads, 1);
  EXPECT_NE(describe(plan).find("tier device: 1024 pages, 16384 tokens, 120 MiB"), std::string::npos) << describe(plan);
}

// As Gemma 3 270M: 15 of 18 layers have a window, so a page is of 3 layers and a token in 6 pages.
TEST(MemoryPlannerTest, CountsAPageOfEachLayerGroup) {
  ModelConfig model = smollm2();
  model.num_layers = 18;
  model.windows.assign(18, 512);
  for (size_t layer = 5; layer < 18; layer += 6) model.windows[layer] = 0;
  Config config;
  config.cache.device = {36864 * 601, 0};
  config.cache.host = {36864 * 12, 0};
  const MemoryPlan plan = plan_memory(config, model, make_shard(model, 0, 1), {2 * kGiB, kGiB / 4});
  EXPECT_EQ(plan.num_groups, 6);
  EXPECT_EQ(plan.layout.page_stride, 36864u);  // 3 layers x K and V x 3 heads x 16 tokens x 64 dims x 2 bytes
  EXPECT_EQ(plan.kv_bytes_per_token, 6 * 2304u);
  EXPECT_EQ(plan.kv_bytes_in_windows, 5 * 2304u);
  EXPECT_EQ(plan.num_frames, 601);
  EXPECT_EQ(plan.tokens_in(plan.num_frames), 1600);
  const std::string text = describe(plan);
  EXPECT_NE(text.find("F16 13.5 KiB per token, 11.2 KiB of them while the token is in a window, 6 pages of 16 tokens 216 KiB"), std::string::npos) << text;
  EXPECT_NE(text.find("tier host: 12 pages, 32 tokens"), std::string::npos) << text;
  config.cache.device = {36864 * 5, 0};
  EXPECT_THROW(plan_memory(config, model, make_shard(model, 0, 1), {2 * kGiB, kGiB / 4}), Error);
}

TEST(MemoryPlannerTest, CountsPagesOfTheHostTierByTheFormatTheyAreStoredIn) {
  const ModelConfig model = smollm2();
  Config config;
  config.cache.device = {300 << 20, 0};
  config.cache.host = {300 << 20, 0};
  config.cache.host_format = "Q8";
  const MemoryPlan plan = plan_memory(config, model, make_shard(model, 0, 1), {4 * kGiB, kGiB / 4});
  EXPECT_EQ(plan.num_frames, (300 << 20) / 368640);
  EXPECT_EQ(plan.stored_layout.page_stride, 196608u);  // (64 dims + a scale of 4 bytes) x 2,880 rows, rounded up
  EXPECT_EQ(plan.num_host_frames, (300 << 20) / 196608);
  EXPECT_EQ(plan.host_bytes, static_cast<size_t>(plan.num_host_frames) * 196608);
  EXPECT_NE(describe(plan).find("tier host: 1600 pages, 25600 tokens, 300 MiB, Q8 12"), std::string::npos) << describe(plan);
  // A device of its own keeps some of them on their way.
  const size_t staged = plan_memory(config, model, make_shard(model, 0, 1), {4 * kGiB, kGiB / 4, kGiB}).workspace - plan.workspace;
  EXPECT_EQ(staged, 16u * 196608);
  config.cache.host_format = "same";
  const MemoryPlan same = plan_memory(config, model, make_shard(model, 0, 1), {4 * kGiB, kGiB / 4, kGiB});
  EXPECT_EQ(same.num_host_frames, (300 << 20) / 368640);
  EXPECT_EQ(same.workspace, plan.workspace);
}

TEST(MemoryPlannerTest, SaysWhatIsNeededAndWhatHelps) {
  const ModelConfig model = smollm2();
  const Shard shard = make_shard(model, 0, 1);
  const auto refusal = [&](MemorySize device, size_t available) -> std::string {
    Config config;
    config.cache.device = device;
    try {
      plan_memory(config, model, shard, {available, kGiB});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal({0, 60}, kGiB / 2).find("this rank has 512 MiB available, its weights need 1.0 GiB"), std::string::npos);
  EXPECT_NE(refusal({int64_t{3} << 30, 0}, 2 * kGiB).find("cache.device asks for 3.0 GiB"), std::string::npos);
  EXPECT_NE(refusal({1 << 16, 0}, 2 * kGiB).find("gives the KV cache 64.0 KiB and one page takes 360 KiB"), std::string::npos);
  EXPECT_EQ(refusal({1 << 20, 0}, 2 * kGiB), "accepted");
}

/// A folder that stands for the root of a machine.
class FakeMachine {
 public:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path full = folder_.path() + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  size_t available() const { return read_available_memory(folder_.path()); }

 private:
  TemporaryFolder folder_;
};

TEST(AvailableMemoryTest, TakesTheTightestOfMachineAndCgroups) {
  FakeMachine machine;
  EXPECT_GT(machine.available(), size_t{1} << 60);  // nothing known
  machine.write("/proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:   8388608 kB\n");
  EXPECT_EQ(machine.available(), 8 * kGiB);
  machine.write("/proc/self/cgroup", "0::/jobs/7\n");
  machine.write("/sys/fs/cgroup/jobs/7/memory.max", "max\n");
  EXPECT_EQ(machine.available(), 8 * kGiB);
  machine.write("/sys/fs/cgroup/jobs/memory.max", std::to_string(4 * kGiB));
  machine.write("/sys/fs/cgroup/jobs/memory.current", std::to_string(3 * kGiB));
  machine.write("/sys/fs/cgroup/jobs/memory.stat", "anon 1\ninactive_file 1073741824\nactive_file 536870912\n");
  EXPECT_EQ(machine.available(), 2 * kGiB + kGiB / 2);  // page cache can be taken back
}

TEST(AvailableMemoryTest, ReadsVersion1AndPathsThatAContainerHides) {
  FakeMachine machine;
  machine.write("/proc/meminfo", "MemAvailable:   8388608 kB\n");
  machine.write("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(2 * kGiB));
  machine.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(3 * kGiB));
  EXPECT_EQ(machine.available(), 0u);
  machine.write("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 2147483648\n");
  EXPECT_EQ(machine.available(), kGiB);
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(machine.available(), 8 * kGiB);
}

TEST(AvailableMemoryTest, WritesBytesForPeople) {
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(size_t{98362432}), "93.8 MiB");
  EXPECT_EQ(format_bytes(141 * kGiB), "141 GiB");
}

}  // namespace
}  // namespace terrace
