// How fast pages move between the tiers, beside what the machine does without them, in turns in one run: evict and fetch against memcpy, the disk tier against plain
// O_DIRECT of the same size in sequence. terrace_page_store_bench [FILE for the disk tier [io]]
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "runtime/cache/page_store.h"

namespace terrace {
namespace {

constexpr size_t kPageBytes = 90 * 4096;  // SmolLM2-135M, 16 tokens, f16
constexpr uint32_t kFrames = 512;
constexpr int kRounds = 7;
constexpr double kBytes = static_cast<double>(kPageBytes) * kFrames;

double seconds(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

/// Runs the works in turns and prints the median rate of each, and how it stands to the first.
void compare(const std::vector<std::pair<const char*, std::function<void()>>>& works) {
  std::vector<std::vector<double>> times(works.size());
  for (int round = -1; round < kRounds; ++round) {
    for (size_t i = 0; i < works.size(); ++i) {
      const double time = seconds(works[i].second);
      if (round >= 0) times[i].push_back(time);
    }
  }
  double first = 0;
  for (size_t i = 0; i < works.size(); ++i) {
    std::sort(times[i].begin(), times[i].end());
    const double rate = kBytes / times[i][kRounds / 2];
    if (i == 0) first = rate;
    fmt::print("{:24} {:6.2f} GB/s  {:.2f}\n", works[i].first, rate / 1e9, rate / first);
  }
}

void move_all(PageStore& store, Tier from, Tier to) {
  std::vector<PageMove> moves;
  std::vector<PageRecord> records;
  for (uint32_t i = 0; i < kFrames; ++i) {
    moves.push_back({i, {from, i}, {to, i}, {i, 1}});
    if (to == Tier::kDisk) records.push_back({{i, 1}, {}, 0, std::vector<int32_t>(16)});
  }
  store.start(moves, records);
  for (size_t ended = 0; ended < kFrames;) {
    for (const MoveResult& result : store.poll(true)) {
      if (result.outcome != MoveOutcome::kDone) std::abort();
      ++ended;
    }
  }
}

void plain_io(int fd, std::byte* page, bool write) {
  for (uint32_t i = 0; i < kFrames; ++i) {
    const auto offset = static_cast<off_t>(i * kPageBytes);
    const ssize_t count = write ? pwrite(fd, page, kPageBytes, offset) : pread(fd, page, kPageBytes, offset);
    if (count != static_cast<ssize_t>(kPageBytes)) std::abort();
  }
}

/// The same pages stored in 8 bits: rates are of the device's bytes.
void measure_codec(Backend& backend, const Buffer& device) {
  auto* halves = reinterpret_cast<uint16_t*>(device.data());
  for (size_t i = 0; i < kPageBytes * kFrames / 2; ++i) halves[i] &= 0xBFFF;  // numbers, below 2
  const PageLayout layout = make_page_layout(KvType::kF16, 16, 30, 3, 64), stored = make_page_layout(KvType::kQ8, 16, 30, 3, 64);
  if (layout.page_stride != kPageBytes) std::abort();
  const std::unique_ptr<PageCodec> codec = backend.make_page_codec(layout, stored);
  const Buffer host = backend.allocate(stored.page_stride * kFrames);
  PageStore store(backend, {.device_base = device.data(), .page_bytes = kPageBytes, .codec = codec.get(),
                            .num_device_frames = kFrames, .num_host_frames = kFrames, .host_base = host.data()});
  const Buffer copy = backend.allocate(kPageBytes * kFrames);
  compare({{"memcpy", [&] { std::memcpy(copy.data(), device.data(), kPageBytes * kFrames); }},
           {"evict as Q8", [&] { move_all(store, Tier::kDevice, Tier::kHost); }},
           {"fetch of Q8, verified", [&] { move_all(store, Tier::kHost, Tier::kDevice); }}});
}

int run(int argc, char** argv) {
  const auto backend = make_backend("cpu", {});
  const Buffer device = backend->allocate(kPageBytes * kFrames), host = backend->allocate(kPageBytes * kFrames);
  std::mt19937_64 random(1);
  for (size_t i = 0; i < kPageBytes * kFrames / 8; ++i) reinterpret_cast<uint64_t*>(device.data())[i] = random();
  PageStore::Options options = {.device_base = device.data(), .page_bytes = kPageBytes, .num_device_frames = kFrames, .num_host_frames = kFrames};
  options.host_base = host.data();
  if (argc > 1) options.disk = DiskOptions{.path = argv[1], .num_frames = kFrames, .digest = 1, .page_tokens = 16, .io = argc > 2 ? argv[2] : "auto"};
  PageStore store(*backend, options);
  const auto copy = [&] {
    for (size_t i = 0; i < kFrames; ++i) std::memcpy(host.data() + i * kPageBytes, device.data() + i * kPageBytes, kPageBytes);
  };
  compare({{"memcpy", copy},
           {"evict", [&] { move_all(store, Tier::kDevice, Tier::kHost); }},
           {"fetch, verified", [&] { move_all(store, Tier::kHost, Tier::kDevice); }}});
  measure_codec(*backend, device);
  if (!options.disk) return 0;

  const std::string plain = options.disk->path + ".plain";
  const int fd = open(plain.c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600);
  if (fd < 0 || fallocate(fd, 0, 0, static_cast<off_t>(kBytes)) != 0) return 1;
  const Buffer page = backend->allocate(kPageBytes);
  std::memcpy(page.data(), device.data(), kPageBytes);
  compare({{"plain O_DIRECT write", [&] { plain_io(fd, page.data(), true); }}, {"host to disk", [&] { move_all(store, Tier::kHost, Tier::kDisk); }}});
  compare({{"plain O_DIRECT read", [&] { plain_io(fd, page.data(), false); }}, {"disk to host, verified", [&] { move_all(store, Tier::kDisk, Tier::kHost); }}});
  close(fd);
  unlink(plain.c_str());
  return 0;
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run(argc, argv); }
