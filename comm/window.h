// What the ranks of one host share: who they are, where they are, whether the job has ended, and memory for messages and sums.
// A view: the memory is a SharedMemory's. Any thread of any rank of the host. It moves no data itself: window_control and
// window_collective do.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "comm/shared_signal.h"
#include "kernels/base/error.h"

namespace terrace {

/// What a rank says beside its part of an all-reduce.
struct ReduceNote {
  uint64_t count = 0;   // floats
  uint64_t offset = 0;  // of the part in the rank's float area, in floats
};

/// "My part is there", and where: one cache line, since fetching another core's costs as much as adding up a row.
struct ReduceSignal : Signal {
  ReduceNote notes[2];  // used in turn: a slow rank may still read the last one
};
static_assert(sizeof(ReduceSignal) == 64);

/// Head of a mailbox: one writer, one chunk of a message at a time.
struct MailboxHead {
  Signal written;
  uint64_t total = 0;  // bytes of the whole message
  uint64_t chunk = 0;  // bytes of this chunk
};

/// One per rank of the job, also of ranks on other hosts: their parts of a sum are put there by this host's first rank.
struct RankState {
  std::atomic<int32_t> pid = 0;
  std::atomic<uint32_t> left = 0;  // went in good order: no death, but nobody need wait for it either
  std::atomic<uint64_t> step = 0;
  std::atomic<int32_t> result = 0;  // what its body returned
  Signal done;
  ReduceSignal reduced;
  MailboxHead gather;
  Signal gather_read;     // by the host's first rank
  Signal broadcast_read;  // by this rank
};

class Window {
 public:
  static constexpr size_t kMessageBytes = size_t{1} << 20;   // longer messages go in chunks
  static constexpr size_t kStageFloats = size_t{1} << 12;    // sums up to here take one exchange of signals
  static constexpr size_t kBufferFloats = size_t{1} << 24;   // Collective::buffer(), 64 MiB
  static constexpr size_t kCopyFloats = size_t{1} << 20;     // chunk of long sums that do not lie in buffer()
  // A rank's float area: stage [2][kStageFloats], buffer [kBufferFloats], copy [kCopyFloats].
  static constexpr size_t kBufferOffset = 2 * kStageFloats;
  static constexpr size_t kCopyOffset = kBufferOffset + kBufferFloats;
  static constexpr size_t kAreaFloats = kCopyOffset + kCopyFloats;

  static size_t bytes_needed(int size);

  /// `memory` is zero-filled or already in use by the other ranks; `host_ranks` are the ranks on this host, ascending.
  Window(std::byte* memory, int size, std::vector<int> host_ranks, bool spin);

  int size() const { return size_; }
  std::span<const int> host_ranks() const { return host_ranks_; }
  int leader() const { return host_ranks_.front(); }
  RankState& state(int rank) const { return ranks_[rank]; }
  MailboxHead& broadcast() const { return head_->broadcast; }
  std::byte* broadcast_data() const { return messages_; }
  std::byte* gather_data(int rank) const { return messages_ + (1 + static_cast<size_t>(rank)) * kMessageBytes; }
  float* floats(int rank) const { return floats_ + static_cast<size_t>(rank) * kAreaFloats; }

  enum class Patience { kMessage, kSum };  // how long a spinning wait spins before it sleeps: 100 us, 1 ms
  /// Waits for a signal that rank `owner` advances. Throws kRankLost when the job was aborted, or when `owner` is done and will
  /// not advance it any more.
  void wait(Signal& signal, uint32_t target, int owner, Patience patience = Patience::kMessage) const;

  /// Whether `signal` gets there within about a microsecond: a look without the pauses of wait(), each of which may cost as much as a line of
  /// another core's cache. Says no at once where ranks share cores.
  bool glance(const Signal& signal, uint32_t target) const;

  /// The first caller wins and is to print why; the job's exit code is its code. Wakes everybody.
  bool claim_abort(int code);
  /// The exit code of an aborted job.
  std::optional<int> aborted() const;
  void throw_if_aborted() const;
  /// This rank's body is over; whoever waits for it in vain is woken.
  void set_done(int rank, int result);
  /// The leader says which code every rank of the host leaves with; the others wait for it.
  void set_verdict(int code);
  int wait_for_verdict() const;

 private:
  struct Head {
    std::atomic<uint32_t> abort = 0;  // kAborted | exit code
    std::atomic<int32_t> verdict_code = 0;
    Signal verdict;
    MailboxHead broadcast;
  };
  static constexpr uint32_t kAborted = 1u << 16;

  void wake_all() const;
  bool spin_for(const Signal& signal, uint32_t target, Patience patience) const;

  int size_;
  std::vector<int> host_ranks_;
  bool spin_;
  Head* head_;
  RankState* ranks_;     // [size]
  std::byte* messages_;  // [1 + size][kMessageBytes]: broadcast, then gather by rank
  float* floats_;        // [size][kAreaFloats]
};

}  // namespace terrace
