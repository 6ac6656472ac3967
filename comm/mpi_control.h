// Control of an MPI job: the window within a host, the link between leaders. With one host the link is never used. Step thread only.
#pragma once

#include <string_view>
#include <vector>

#include "comm/mpi_link.h"
#include "comm/window_control.h"

namespace terrace {

class MpiControl final : public Control {
 public:
  /// `link` is null unless this rank leads one of several hosts.
  MpiControl(Window& window, int rank, MpiLink* link) : window_(window), host_(window, rank), link_(link) {}
  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  void broadcast(Bytes& bytes) override;
  std::vector<Bytes> gather(std::span<const std::byte> bytes) override;
  void barrier() override;
  /// Ends this process and, by way of the window and mpirun, all others.
  [[noreturn]] void abort(ErrorCode code, std::string_view message) override;
  bool aborted() const override { return host_.aborted(); }
  void set_step(uint64_t step) override { host_.set_step(step); }
  /// After the body: waits until every rank's is over and returns the code that all leave with.
  int agree_on_result(int result);

 private:
  Window& window_;
  WindowControl host_;
  MpiLink* link_;
};

}  // namespace terrace
