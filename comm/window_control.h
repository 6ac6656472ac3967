// Control among the ranks of one host, through their window: the first of them (the leader) broadcasts and gathers. When the host is the
// whole job, the leader is rank 0. Step thread only.
#pragma once

#include <span>
#include <vector>

#include "comm/control.h"
#include "comm/window.h"

namespace terrace {

class WindowControl final : public Control {
 public:
  WindowControl(Window& window, int rank) : window_(window), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return window_.size(); }
  void broadcast(Bytes& bytes) override;
  /// On the leader: one message for each of window.host_ranks(), in their order.
  std::vector<Bytes> gather(std::span<const std::byte> bytes) override;
  void barrier() override;
  /// For ranks that are threads: everybody's next call throws, the process goes on.
  void abort(ErrorCode code, std::string_view message) override;
  bool aborted() const override { return window_.aborted().has_value(); }
  void set_step(uint64_t step) override { window_.state(rank_).step.store(step, std::memory_order_relaxed); }

 private:
  struct Reader {
    int rank;
    Signal* read;
  };
  void write_message(MailboxHead& head, std::byte* data, std::span<const std::byte> bytes, std::span<const Reader> readers, uint32_t& sequence);
  void read_message(MailboxHead& head, const std::byte* data, int writer, Signal& read, uint32_t& sequence, Bytes& bytes);
  bool is_leader() const { return rank_ == window_.leader(); }

  Window& window_;
  int rank_;
  uint32_t broadcasts_ = 0;              // chunks so far
  uint32_t gathers_ = 0;                 // chunks this rank has written
  std::vector<uint32_t> gathers_of_;     // on the leader: chunks read from each rank of the host
};

}  // namespace terrace
