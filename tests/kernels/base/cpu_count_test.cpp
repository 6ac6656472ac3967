#include "kernels/base/cpu_count.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace terrace {
namespace {

class CpuQuotaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    mount_ = std::filesystem::path(::testing::TempDir()) / ("cpu_quota_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + "." + std::to_string(getpid()));
    std::filesystem::remove_all(mount_);
  }
  void TearDown() override { std::filesystem::remove_all(mount_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((mount_ / path).parent_path());
    std::ofstream(mount_ / path) << text << '\n';
  }
  double quota(const std::string& proc_cgroup) { return cgroup_cpu_quota(proc_cgroup, mount_.string()); }

  std::filesystem::path mount_;
};

TEST_F(CpuQuotaTest, TakesTheSmallestQuotaOnTheWayUp) {
  write("cpu.max", "max 100000");
  write("jobs/cpu.max", "150000 100000");
  write("jobs/mine/cpu.max", "400000 100000");
  EXPECT_DOUBLE_EQ(1.5, quota("0::/jobs/mine\n"));
  EXPECT_DOUBLE_EQ(0, quota("0::/\n"));
}

TEST_F(CpuQuotaTest, ReadsVersionOne) {
  write("cpu/jobs/cpu.cfs_quota_us", "300000");
  write("cpu/jobs/cpu.cfs_period_us", "100000");
  write("cpu/cpu.cfs_quota_us", "-1");
  write("cpu/cpu.cfs_period_us", "100000");
  EXPECT_DOUBLE_EQ(3, quota("4:memory:/jobs\n3:cpu,cpuacct:/jobs\n0::/\n"));
  EXPECT_DOUBLE_EQ(0, quota("3:cpuset:/jobs\n"));
}

TEST_F(CpuQuotaTest, ReadsTheRootOfTheMountInsideAContainer) {
  write("cpu.max", "200000 100000");  // the container's own cgroup is mounted as the root
  EXPECT_DOUBLE_EQ(2, quota("0::/docker/abc\n"));
}

TEST_F(CpuQuotaTest, NoCgroupMeansNoQuota) { EXPECT_DOUBLE_EQ(0, quota("")); }

TEST(UsableCoresTest, IsAtLeastOne) { EXPECT_GE(usable_cores(), 1); }

CoreSet cores(size_t first, size_t last) {
  CoreSet set;
  for (size_t core = first; core <= last; ++core) set.set(core);
  return set;
}

TEST(ShareOfCoresTest, RanksThatShareAMaskDivideIt) {
  const CoreSet all[] = {cores(0, 8), cores(0, 8)};
  EXPECT_EQ(4, share_of_cores(all, 0, 0));
  const CoreSet crowd[] = {cores(0, 1), cores(0, 1), cores(0, 1)};
  EXPECT_EQ(0, share_of_cores(crowd, 2, 0));
}

TEST(ShareOfCoresTest, RanksWithCoresOfTheirOwnHaveThemWhole) {
  const CoreSet bound[] = {cores(0, 31), cores(32, 63)};
  EXPECT_EQ(32, share_of_cores(bound, 0, 0));
  EXPECT_EQ(32, share_of_cores(bound, 1, 0));
  const CoreSet two_a_node[] = {cores(0, 31), cores(32, 63), cores(0, 31), cores(32, 63)};
  EXPECT_EQ(16, share_of_cores(two_a_node, 3, 0));
}

TEST(ShareOfCoresTest, AQuotaIsAllRanksTogether) {
  const CoreSet bound[] = {cores(0, 31), cores(32, 63)};
  EXPECT_EQ(4, share_of_cores(bound, 0, 7.5));
  EXPECT_EQ(0, share_of_cores(bound, 0, 1));
}

using MemoryNodesTest = CpuQuotaTest;

TEST_F(MemoryNodesTest, CountsThoseThatTheCoresLieOn) {
  write("node0/cpulist", "0-3,8-11");
  write("node1/cpulist", "4-7,12-15");
  write("node2/cpulist", "");  // memory alone
  EXPECT_EQ(2, count_memory_nodes(cores(0, 15), mount_.string()));
  EXPECT_EQ(1, count_memory_nodes(cores(8, 11), mount_.string()));
  EXPECT_EQ(2, count_memory_nodes(cores(11, 12), mount_.string()));
}

TEST_F(MemoryNodesTest, IsOneWhereNothingIsSaid) { EXPECT_EQ(1, count_memory_nodes(cores(0, 3), mount_.string())); }

}  // namespace
}  // namespace terrace
