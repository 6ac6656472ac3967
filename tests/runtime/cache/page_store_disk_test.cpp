// The disk tier under the page store: pages survive the process, however it ends; every fault of the disk is a counted miss and never another page's bytes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "runtime/cache/page_store.h"
#include "tests/support/runtime/faulty_disk_io.h"
#include "tests/support/runtime/page_pools.h"

namespace terrace {
namespace {

using testing::carry_out;
using testing::DiskFault;
using testing::evict;
using testing::fetch;
using testing::load;
using testing::spill;
using enum MoveOutcome;

PageKey key(uint64_t i) { return {i * 7919 + 1, i}; }
PageRecord record(uint64_t i) { return {key(i), key(i + 1000), static_cast<int32_t>(i), {1, 2, 3, static_cast<int32_t>(i)}}; }

class PageStoreDiskTest : public ::testing::TestWithParam<const char*> {
 protected:
  PageStoreDiskTest() : path_(std::filesystem::path(::testing::TempDir()) / ("pages." + std::to_string(getpid()))) { std::filesystem::remove(path_); }
  ~PageStoreDiskTest() override { std::filesystem::remove(path_); }

  PageStore::Options options() {
    PageStore::Options options = pools_.options();
    options.disk = DiskOptions{.path = path_, .num_frames = 8, .digest = 42, .page_tokens = 4, .io = GetParam()};
    return options;
  }
  PageStore::Options faulty_options() {
    PageStore::Options faulty = options();
    faulty.clock = &clock_;
    faulty.disk->num_slots = 2;
    faulty.disk->timeout_us = 100'000;
    faulty.disk->make_io = [this](int fd, uint32_t) { return std::make_unique<testing::FaultyDiskIo>(fd, fault_); };
    return faulty;
  }
  /// Device frames 0 .. count - 1 to the same frames of host and disk.
  void write_pages(PageStore& store, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(carry_out(store, {evict(++id_, i, i, key(i))}), std::vector{kDone});
      ASSERT_EQ(carry_out(store, {spill(++id_, i, i, key(i))}, {record(i)}), std::vector{kDone});
    }
  }
  /// From the disk to device frame 7 by host frame 6.
  MoveOutcome read_page(PageStore& store, uint32_t disk_frame, PageKey page) {
    const MoveOutcome loaded = carry_out(store, {load(++id_, disk_frame, 6, page)}).front();
    if (loaded != kDone) return loaded;
    return carry_out(store, {fetch(++id_, 6, 7, page)}).front();
  }
  std::string error_of(const PageStore::Options& wrong) {
    try {
      PageStore store(pools_.backend(), wrong);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path_), std::string::npos) << error.what();
      return error.what();
    }
    return "none";
  }

  std::string path_;
  testing::PagePools pools_;
  testing::ManualClock clock_;
  std::atomic<DiskFault> fault_ = DiskFault::kNone;
  uint32_t id_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Io, PageStoreDiskTest, ::testing::Values("auto", "threads"));

TEST_P(PageStoreDiskTest, PagesAreThereAfterARestart) {
  const auto first = pools_.read(0);
  const auto third = pools_.read(2);
  {
    PageStore store(pools_.backend(), options());
    EXPECT_TRUE(store.recovered().empty());
    write_pages(store, 4);
    EXPECT_EQ(std::filesystem::file_size(path_), (DiskGeometry{42, pools_.kPageBytes, 8, 4}.file_bytes()));
    carry_out(store, {spill(++id_, 3, 1, key(3))}, {record(3)});  // over another page
  }
  PageStore store(pools_.backend(), options());
  EXPECT_EQ(store.recovered(), (std::vector<DiskRecord>{{0, record(0)}, {1, record(3)}, {2, record(2)}}));
  EXPECT_EQ(read_page(store, 0, key(0)), kDone);
  EXPECT_EQ(pools_.read(7), first);
  EXPECT_EQ(read_page(store, 2, key(2)), kDone);
  EXPECT_EQ(pools_.read(7), third);
  EXPECT_EQ(read_page(store, 1, key(1)), kChecksum);
  EXPECT_EQ(read_page(store, 5, key(0)), kChecksum);  // never written
}

TEST_P(PageStoreDiskTest, ManyMovesAtOnceAllEnd) {
  PageStore store(pools_.backend(), options());
  std::vector<PageMove> out, down, up;
  std::vector<PageRecord> records;
  for (uint32_t i = 0; i < 8; ++i) {
    out.push_back(evict(i, i, i, key(i)));
    down.push_back(spill(8 + i, i, 7 - i, key(i)));
    up.push_back(load(16 + i, 7 - i, (i + 1) % 8, key(i)));
    records.push_back(record(i));
  }
  EXPECT_EQ(carry_out(store, out), std::vector(8, kDone));
  EXPECT_EQ(carry_out(store, down, records), std::vector(8, kDone));
  EXPECT_EQ(carry_out(store, up), std::vector(8, kDone));
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(std::memcmp(store.host_page((i + 1) % 8), pools_.read(i).data(), pools_.kPageBytes), 0);
}

TEST_P(PageStoreDiskTest, DamageToTheFileIsAMiss) {
  {
    PageStore store(pools_.backend(), options());
    write_pages(store, 3);
  }
  const DiskGeometry geometry = {42, pools_.kPageBytes, 8, 4};
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(geometry.page_offset(1) + 100)).put('x').put('y');
    file.seekp(static_cast<std::streamoff>(geometry.record_offset(2) + 75)).put('x');
  }
  PageStore store(pools_.backend(), options());
  EXPECT_EQ(store.recovered(), (std::vector<DiskRecord>{{0, record(0)}, {1, record(1)}}));
  EXPECT_EQ(read_page(store, 0, key(0)), kDone);
  EXPECT_EQ(read_page(store, 1, key(1)), kChecksum);
  EXPECT_EQ(read_page(store, 2, key(2)), kChecksum);
}

TEST_P(PageStoreDiskTest, AHostPageThatWasDamagedIsNotWritten) {
  PageStore store(pools_.backend(), options());
  carry_out(store, {evict(++id_, 0, 0, key(0))});
  store.host_page(0)[5] ^= std::byte{1};
  EXPECT_EQ(carry_out(store, {spill(++id_, 0, 0, key(0))}, {record(0)}), std::vector{kChecksum});
}

TEST_P(PageStoreDiskTest, FilesThatAreNotOursAreRefusedWithASentence) {
  { PageStore store(pools_.backend(), options()); }
  PageStore::Options other = options();
  other.disk->digest = 43;
  EXPECT_NE(error_of(other).find("another model or another layout. Delete it or choose"), std::string::npos);
  other = options();
  other.disk->num_frames = 9;
  EXPECT_NE(error_of(other).find("has 8 frames"), std::string::npos);
  {
    PageStore store(pools_.backend(), options());
    EXPECT_NE(error_of(options()).find("in use by another process"), std::string::npos);
  }
  std::ofstream(path_) << "a letter to a friend";
  EXPECT_NE(error_of(options()).find("is not a file of cold pages"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path_), 20u);  // untouched
}

TEST_P(PageStoreDiskTest, ADiskWithoutRoomIsRefusedAtTheStart) {
  PageStore::Options large = options();
  large.disk->num_frames = 0xFFFFFFF0u;  // 32 TiB
  EXPECT_NE(error_of(large).find("cannot reserve"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_P(PageStoreDiskTest, EveryFaultOfAWriteIsAMiss) {
  for (const DiskFault fault : {DiskFault::kNoSpace, DiskFault::kShort, DiskFault::kTornWrite, DiskFault::kMisplaced, DiskFault::kDropped}) {
    std::filesystem::remove(path_);
    fault_ = DiskFault::kNone;
    PageStore store(pools_.backend(), faulty_options());
    write_pages(store, 2);
    carry_out(store, {evict(++id_, 3, 3, key(3))});
    fault_ = fault;
    const MoveOutcome written = carry_out(store, {spill(++id_, 3, 0, key(3))}, {record(3)}).front();
    const bool silent = fault == DiskFault::kTornWrite || fault == DiskFault::kMisplaced;
    EXPECT_EQ(written, silent ? kDone : kIo) << static_cast<int>(fault);
    fault_ = DiskFault::kNone;
    EXPECT_EQ(read_page(store, 0, key(3)), kChecksum) << static_cast<int>(fault);
    EXPECT_EQ(read_page(store, 0, key(0)), kChecksum) << static_cast<int>(fault);  // the page that was there is gone too
  }
}

TEST_P(PageStoreDiskTest, EveryFaultOfAReadIsAMissAndTheNextReadIsGood) {
  PageStore store(pools_.backend(), faulty_options());
  write_pages(store, 3);
  for (const DiskFault fault : {DiskFault::kReadError, DiskFault::kShort, DiskFault::kFlippedBit, DiskFault::kMisplaced, DiskFault::kDropped}) {
    fault_ = fault;
    const bool silent = fault == DiskFault::kFlippedBit || fault == DiskFault::kMisplaced;
    EXPECT_EQ(read_page(store, 1, key(1)), silent ? kChecksum : kIo) << static_cast<int>(fault);
    fault_ = DiskFault::kNone;
    EXPECT_EQ(read_page(store, 1, key(1)), kDone) << static_cast<int>(fault);
    EXPECT_EQ(pools_.read(7), pools_.read(1));
  }
}

TEST_P(PageStoreDiskTest, ADiskThatAnswersNothingAnyMoreIsAMissEachTime) {
  PageStore store(pools_.backend(), faulty_options());
  write_pages(store, 2);
  fault_ = DiskFault::kDropped;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(read_page(store, 0, key(0)), kIo);  // more than there are slots
}

TEST_P(PageStoreDiskTest, ADiskThatHungAndAnswersAgainIsUsedAgain) {
  PageStore store(pools_.backend(), faulty_options());
  write_pages(store, 2);
  fault_ = DiskFault::kLate;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read_page(store, 0, key(0)), kIo);  // more than there are slots
  fault_ = DiskFault::kNone;
  EXPECT_EQ(read_page(store, 0, key(0)), kDone);
  EXPECT_EQ(pools_.read(7), pools_.read(0));
}

TEST_P(PageStoreDiskTest, ACompletionThatComesTwiceCountsOnce) {
  PageStore store(pools_.backend(), faulty_options());
  fault_ = DiskFault::kTwice;
  write_pages(store, 2);
  EXPECT_EQ(read_page(store, 1, key(1)), kDone);
  EXPECT_EQ(pools_.read(7), pools_.read(1));
  EXPECT_TRUE(store.poll(false).empty());
}

/// Writes pages over each other until it is killed. The page of key i is filled by i.
[[noreturn]] void write_until_killed(const PageStore::Options& options, testing::PagePools& pools, int ready) {
  PageStore store(pools.backend(), options);
  for (uint32_t i = 0;; ++i) {
    pools.write(0, std::vector<std::byte>(pools.kPageBytes, static_cast<std::byte>(i)));
    carry_out(store, {evict(3 * i, 0, i % 8, key(i))});
    store.start(std::vector{spill(3 * i + 1, i % 8, i % 7, key(i))}, std::vector{record(i)});
    if (i % 3 == 0) carry_out(store, {evict(3 * i + 2, 1, (i + 4) % 8, key(i))});  // spills run on beside
    while (store.num_under_way() > (i % 4 == 0 ? 0 : 2)) store.poll(true);
    if (i == 20 && write(ready, "x", 1) != 1) _exit(1);
  }
}

TEST_P(PageStoreDiskTest, AfterAKillOnlyWholePagesAreFound) {
  size_t num_found = 0;
  for (int round = 0; round < 5; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      testing::PagePools pools;
      PageStore::Options theirs = options();
      theirs.device_base = pools.device_base();
      write_until_killed(theirs, pools, ready[1]);
    }
    char byte;
    close(ready[1]);
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    PageStore store(pools_.backend(), options());
    for (const DiskRecord& found : store.recovered()) {
      EXPECT_EQ(found.page, record(static_cast<uint64_t>(found.page.depth)));
      EXPECT_EQ(read_page(store, found.frame, found.page.key), kDone);
      EXPECT_EQ(pools_.read(7), std::vector<std::byte>(pools_.kPageBytes, static_cast<std::byte>(found.page.depth)));
      ++num_found;
    }
  }
  EXPECT_GE(num_found, 5u * 4);
}

}  // namespace
}  // namespace terrace
