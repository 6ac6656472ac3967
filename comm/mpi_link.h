// Messages between the leaders of the job's hosts, by MPI point-to-point. Waits probe with a growing sleep, as Open MPI's blocking calls
// spin, and look at the window for the end of the job. Step thread of a leader only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "comm/control.h"
#include "comm/window.h"
#include "comm/window_collective.h"

namespace terrace {

enum class LinkTag { kBroadcast = 1, kGather, kResult, kVerdict, kAbort, kPart };  // + rank for kPart: the last one

class MpiLink final : public PartExchange {
 public:
  /// `leader_of[rank]` is the first rank of the host that `rank` runs on.
  MpiLink(Window& window, std::vector<int> leader_of, bool spin);
  ~MpiLink() override;

  /// Leaders of the other hosts, ascending.
  std::span<const int> other_leaders() const { return other_leaders_; }
  /// Ranks that `leader` leads, ascending.
  std::vector<int> ranks_of(int leader) const;
  /// Returns at once; the bytes are kept until they are delivered.
  void send(int to, LinkTag tag, Bytes bytes);
  Bytes receive(int from, LinkTag tag);
  /// Until everything sent is delivered.
  void flush();
  /// The job was aborted on this host: tells the other leaders, waiting 100 ms at most for the word to go out.
  void tell_abort(int code);
  /// Every wait in here asks this: another host's abort becomes this one's.
  void hear_abort();
  void exchange(std::span<float* const> parts, size_t count) override;

 private:
  struct Pending;
  class BackOff;
  void reap();

  Window& window_;
  std::vector<int> leader_of_;
  std::vector<int> other_leaders_;
  bool spin_;
  std::unique_ptr<Pending> pending_;
};

}  // namespace terrace
