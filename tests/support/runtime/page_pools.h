// A CPU backend with a device pool of random pages, for tests of the page store.
#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "runtime/cache/page_store.h"
#include "tests/support/kernels/manual_clock.h"

namespace terrace::testing {

class PagePools {
 public:
  static constexpr size_t kPageBytes = 8192;
  static constexpr uint32_t kFrames = 8;

  explicit PagePools(const char* backend = "cpu")
      : backend_(make_backend(backend, {})), pool_(backend_->allocate(kFrames * kPageBytes)) {
    for (uint32_t frame = 0; frame < kFrames; ++frame) write(frame, random_page());
  }
  Backend& backend() { return *backend_; }
  std::byte* device_base() { return pool_.data(); }
  PageStore::Options options() {
    return {.device_base = pool_.data(), .page_bytes = kPageBytes, .num_device_frames = kFrames, .num_host_frames = kFrames};
  }
  std::vector<std::byte> random_page() {
    std::vector<std::byte> page(kPageBytes);
    for (std::byte& each : page) each = static_cast<std::byte>(random_());
    return page;
  }
  std::vector<std::byte> read(uint32_t frame) {
    std::vector<std::byte> page(kPageBytes);
    backend_->read(pool_.data() + frame * kPageBytes, page);
    return page;
  }
  void write(uint32_t frame, const std::vector<std::byte>& page) { backend_->write(pool_.data() + frame * kPageBytes, page); }

 private:
  std::mt19937 random_{1};
  std::unique_ptr<Backend> backend_;
  Buffer pool_;
};

inline PageMove evict(uint32_t id, uint32_t device, uint32_t host, PageKey key) {
  return {id, {Tier::kDevice, device}, {Tier::kHost, host}, key};
}
inline PageMove fetch(uint32_t id, uint32_t host, uint32_t device, PageKey key) {
  return {id, {Tier::kHost, host}, {Tier::kDevice, device}, key};
}
inline PageMove spill(uint32_t id, uint32_t host, uint32_t disk, PageKey key) {
  return {id, {Tier::kHost, host}, {Tier::kDisk, disk}, key};
}
inline PageMove load(uint32_t id, uint32_t disk, uint32_t host, PageKey key) {
  return {id, {Tier::kDisk, disk}, {Tier::kHost, host}, key};
}

/// Of one move at least, if any is under way; however fast a clock of the test's own runs.
inline std::vector<MoveResult> wait_for_results(PageStore& store) {
  std::vector<MoveResult> results;
  do results = store.poll(true);
  while (results.empty() && store.num_under_way() > 0);
  return results;
}

/// Starts the moves (of consecutive ids) and waits for all; outcomes in the order of ids.
inline std::vector<MoveOutcome> carry_out(PageStore& store, const std::vector<PageMove>& moves,
                                          const std::vector<PageRecord>& records = {}) {
  store.start(moves, records);
  std::vector<MoveOutcome> outcomes(moves.size());
  for (size_t num_ended = 0; num_ended < moves.size();) {
    const std::vector<MoveResult> results = wait_for_results(store);
    if (results.empty()) throw std::runtime_error("a move was never reported");
    for (const MoveResult& result : results) {
      const size_t index = result.id - moves.front().id;
      if (index >= moves.size()) continue;  // started before
      outcomes[index] = result.outcome;
      ++num_ended;
    }
  }
  return outcomes;
}

}  // namespace terrace::testing
