// The CPU's page mover: both pools are host memory. One copy thread a direction, beside the step thread, which runs the codec where there is one; a modelled link may hold the
// tickets back.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/base/tensor.h"
#include "kernels/cpu/page_copy.h"
#include "kernels/page_mover.h"

namespace terrace {

class CpuPageMover : public PageMover {
 public:
  /// `host_pool`: num_host_frames pages, unused where options.host_base is given.
  CpuPageMover(const PageMoverOptions& options, Buffer host_pool, CopyPage copy_page);
  /// Ends after the page that is being copied; what waits is dropped.
  ~CpuPageMover() override;
  Ticket evict(std::span<const Move> moves) override { return queue(Direction::kEvict, moves); }
  Ticket fetch(std::span<const Move> moves) override { return queue(Direction::kFetch, moves); }
  std::optional<int64_t> finished_us(Ticket ticket) override;
  void wait(Ticket ticket) override;
  void order_ops_after(Ticket ticket) override { wait(ticket); }  // ops run when they are called
  std::byte* host_page(uint32_t host_frame) override { return options_.host_base + host_frame * stored_bytes_; }
  uint64_t checksum(Direction direction, uint32_t host_frame) override { return lane(direction).checksums[host_frame]; }

 private:
  struct Job {
    Ticket ticket;
    std::vector<Move> moves;
  };
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  struct Lane {                         // of one direction
    std::deque<Job> waiting;            // guarded by mutex_
    int64_t busy_until_us = 0;          // of the modelled link; step thread
    std::vector<uint64_t> checksums;    // by host frame; written by the lane's thread before its ticket is copied
    std::vector<Line> scratch;          // a stored page, where there is a codec; the lane's thread
    std::thread thread;
  };
  struct UnderWay {
    int64_t due_us;                               // by the link
    std::optional<int64_t> copied_us = {};        // guarded by mutex_
  };

  Ticket queue(Direction direction, std::span<const Move> moves);
  void run(Direction direction);
  void copy(Direction direction, const Move& move);
  int64_t occupy_link(Lane& lane, size_t bytes);
  Lane& lane(Direction direction) { return lanes_[static_cast<size_t>(direction)]; }

  PageMoverOptions options_;
  const size_t stored_bytes_;  // of a page of the host pool
  Buffer host_pool_;
  CopyPage copy_page_;
  Clock& clock_;
  Ticket last_ = 0;

  std::mutex mutex_;
  std::condition_variable queued_;  // a job waits, or stop
  std::condition_variable copied_;  // a job was copied
  bool stop_ = false;
  std::map<Ticket, UnderWay> under_way_;
  std::array<Lane, 2> lanes_;
};

}  // namespace terrace
