// Where the ranks of one simulated communicator meet, as processes or as threads: memory without a name in any file system, so that nothing is left behind. Each rank says what it
// is about to do and shows its bytes; when all have come, each sees what the others said. One thread at a time per rank and channel.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace cudasim {

/// What a rank is about to do. Must be the same on all.
struct CollectiveHeader {
  enum class Kind : int32_t { kInit, kWindow, kAllReduce, kAllGather, kBroadcast };
  Kind kind = Kind::kInit;
  int32_t type = 0;       // ncclDataType_t
  int32_t reduction = 0;  // ncclRedOp_t
  int32_t root = 0;
  uint64_t count = 0;     // elements, or bytes of a window
  bool operator==(const CollectiveHeader&) const = default;
};
std::string describe(const CollectiveHeader& header);  // "ncclAllReduce of 64 elements (type 7, reduction 0)"

class Meeting {
 public:
  static constexpr int kMaxRanks = 64;
  static constexpr size_t kMaxBytes = size_t{64} << 20;  // of a rank's part
  enum class Channel { kHost, kStream };                 // calls of the host and operations of streams come in orders of their own
  enum class Outcome { kMet, kDiffer, kAborted, kLate };
  struct Key {  // travels in the ncclUniqueId
    int32_t pid = 0;
    int32_t fd = -1;
    uint64_t number = 0;
  };

  /// Makes the memory; it lives as long as this process or a rank that has joined. `seed` decides the order of sums.
  static Key create(uint64_t seed);
  /// The memory that another rank (or this one) made. Null mapping if it is gone.
  Meeting(const Key& key, int rank, int size);
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;
  bool is_open() const { return memory_ != nullptr; }

  /// Waits for all ranks, at most timeout_seconds() or until `aborted`. `when_met` runs between: then part() of every rank holds its bytes.
  Outcome meet(Channel channel, const CollectiveHeader& header, std::span<const std::byte> bytes, const std::atomic<bool>& aborted, const std::function<void()>& when_met);
  const std::byte* part(int rank) const;
  uint64_t seed() const;
  /// After kDiffer or kLate: who said what, or who has not come.
  const std::string& trouble() const { return trouble_; }
  /// CUDASIM_NCCL_TIMEOUT, or 60: a rank that interprets its kernels is slow.
  static int timeout_seconds();
  /// Called now and then by whoever waits.
  std::function<void()> while_waiting;

 private:
  struct Place;
  struct Memory;
  Place& place(Channel channel, int rank) const;
  Outcome wait(const std::atomic<bool>& aborted, const std::function<bool(int rank)>& came);

  Memory* memory_ = nullptr;
  int rank_;
  int size_;
  uint64_t sequence_[2] = {0, 0};
  std::string trouble_;
};

}  // namespace cudasim
