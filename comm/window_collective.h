// Collective among the ranks of one host, through their window. Step thread only.
//
// Short sums (<= Window::kStageFloats): every rank's part lies in its stage, which is what buffer() gives out; it advances its signal, and when
// all have, each adds up all parts into memory of its own. One exchange suffices, as stages are used in turn: whoever writes a stage again has
// seen everybody pass the sum between.
// Long sums: in place. The host's k-th rank alone reads share k of every part, adds it up in rank order and writes the sum to share k of all
// parts; a second exchange says that all shares are there.
#pragma once

#include <span>
#include <vector>

#include "comm/collective.h"
#include "comm/window.h"

namespace terrace {

/// Brings the parts of other hosts' ranks into this host's window. Called on the host's first rank.
class PartExchange {
 public:
  virtual ~PartExchange() = default;
  /// parts[rank] has `count` floats in this window: to be sent for ranks of this host, to be filled for the others.
  virtual void exchange(std::span<float* const> parts, size_t count) = 0;
};

class WindowCollective final : public Collective {
 public:
  WindowCollective(Window& window, int rank, PartExchange* other_hosts = nullptr);
  int rank() const override { return rank_; }
  int size() const override { return window_.size(); }
  std::span<float> buffer(size_t count) override;
  std::span<float> all_reduce(std::span<float> part) override;

 private:
  std::span<float> reduce_short(std::span<float> part);
  /// Where the next short part is to lie, in this rank's float area.
  size_t stage_offset() const { return (sequence_ + 1) % 2 * Window::kStageFloats; }
  void reduce_in_area(size_t offset, size_t count);
  /// Publishes this rank's part and waits for everybody's; then parts_ is filled.
  void exchange_parts(size_t offset, size_t count);
  /// On the host's first rank: fills the parts of the other hosts' ranks and advances their signals.
  void bring_other_hosts(const ReduceNote& note);
  bool other_hosts_exist() const { return window_.host_ranks().size() < static_cast<size_t>(window_.size()); }
  bool is_local(int rank) const;

  Window& window_;
  int rank_;
  size_t host_index_ = 0;  // among the ranks of this host
  PartExchange* other_hosts_;  // null unless this is the first rank of one of several hosts
  uint32_t sequence_ = 0;
  std::vector<float*> parts_;       // [size] by rank
  std::vector<float*> outs_;        // parts of this host's ranks
  std::vector<float> short_sum_;    // [Window::kStageFloats]
  std::vector<float> long_buffer_;  // what does not fit the window
};

}  // namespace terrace
