// Which operation last wrote, and which have read since, every byte of device and pinned memory, with vector clocks: finds two operations that touch the same bytes without an order
// between them, whatever order they happened to run in. One a device, under its lock.
#pragma once

#include <map>
#include <set>
#include <unordered_map>

#include "tests/cudasim/core.h"

namespace cudasim {

/// What is ordered before an operation: for stream i its first clock[i] operations.
class Clock {
 public:
  uint64_t of(size_t stream) const { return stream < counts_.size() ? counts_[stream] : 0; }
  void set(size_t stream, uint64_t count) {
    if (stream >= counts_.size()) counts_.resize(stream + 1);
    counts_[stream] = count;
  }
  void join(const Clock& other);
  bool covers(const Clock& other) const;

 private:
  std::vector<uint64_t> counts_;
};

/// Bytes that an operation has read and written, found while it runs (kernels) or declared (copies).
class Footprint {
 public:
  void add(const void* address, size_t bytes, bool write);
  /// Calls body(begin, end) for each maximal run of bytes, ascending.
  template <typename Body>
  void each(bool written, Body body) const;
  void clear();
  bool empty() const { return pages_.empty(); }

 private:
  static constexpr uintptr_t kPageBytes = 4096;
  struct Page {
    uint64_t bits[2][kPageBytes / 64] = {};  // [written]
  };
  Page& page(uintptr_t number);

  std::map<uintptr_t, std::unique_ptr<Page>> pages_;
  std::vector<std::unique_ptr<Page>> spare_;
  Page* last_ = nullptr;
  uintptr_t last_number_ = 0;
};

class AccessHistory {
 public:
  struct Stamp {
    size_t stream = 0;
    uint64_t count = 0;  // of the stream's operations; 0: none
    const std::string* name = nullptr;
  };

  /// The accesses of one operation; reports what is not ordered before it.
  void add(const Footprint& footprint, const Clock& clock, size_t stream, uint64_t count, const std::string& name);
  /// When the host has waited for everything, nothing of the past can race.
  void clear() {
    records_.clear();
    reported_.clear();
  }

 private:
  struct Record {
    uintptr_t end;
    Stamp write;
    std::vector<Stamp> reads;
  };
  using Records = std::map<uintptr_t, Record>;

  void split(uintptr_t at);
  void read(uintptr_t begin, uintptr_t end, const Clock& clock, const Stamp& stamp);
  void write(uintptr_t begin, uintptr_t end, const Clock& clock, const Stamp& stamp);
  void check(uintptr_t begin, const Stamp& earlier, const Clock& clock, const Stamp& now, const char* what);

  Records records_;
  std::set<std::string> names_;
  std::set<std::string> reported_;  // one sentence for a pair of operations
};

template <typename Body>
void Footprint::each(bool written, Body body) const {
  uintptr_t begin = 0, end = 0;  // the run so far
  const auto extend = [&](uintptr_t from, uintptr_t to) {
    if (from == end && begin != end) {
      end = to;
      return;
    }
    if (begin != end) body(begin, end);
    begin = from, end = to;
  };
  for (const auto& [number, page] : pages_) {
    for (uintptr_t word = 0; word < kPageBytes / 64; ++word) {
      uint64_t bits = page->bits[written][word];
      const uintptr_t base = number * kPageBytes + word * 64;
      while (bits != 0) {
        const int first = __builtin_ctzll(bits);
        const uint64_t rest = ~(bits >> first);
        const int length = rest == 0 ? 64 : __builtin_ctzll(rest);
        extend(base + static_cast<uintptr_t>(first), base + static_cast<uintptr_t>(first + length));
        if (first + length == 64) break;
        bits &= ~uint64_t{0} << (first + length);
      }
    }
  }
  if (begin != end) body(begin, end);
}

}  // namespace cudasim
