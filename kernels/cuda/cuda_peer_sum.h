// PeerSum over CUDA: this rank's slots and flags on its device, the others' as IPC or peer access opens them, and the word by which the host ends a wait. Step thread, but for stop().
#pragma once

#include <memory>

#include "kernels/cuda/peer_sum_kernels.h"

namespace terrace {

class CudaPeerSum final : public PeerSum {
 public:
  /// Of the calling thread's device. Throws where there is no memory, or none that can be shared.
  explicit CudaPeerSum(const PeerSumOptions& options);
  ~CudaPeerSum() override;

  std::vector<std::byte> card() const override;
  void open(std::span<const std::vector<std::byte>> cards) override;
  void close() override;
  void add_up(float* part, size_t count) override;
  void add_up_then_norm(float* part, const ResidualNorm& then) override;
  void stop() override;

 private:
  struct Card {
    int device = 0;
    const std::shared_ptr<Buffer>* memory = nullptr;  // for ranks of one process
    cudaIpcMemHandle_t handle = {};                   // for others
  };
  struct FreeHost {
    void operator()(uint32_t* word) const { cudaFreeHost(word); }
  };
  PeerSumArgs args_of(float* part, size_t count) const;
  std::byte* open_memory(int rank, const Card& card);
  void place(int rank, std::byte* memory);

  const PeerSumOptions options_;
  const size_t slot_floats_;
  std::shared_ptr<Buffer> memory_;                 // flags, then slots; threads keep each other's, since one may unwind while another's kernels still run
  std::vector<std::shared_ptr<Buffer>> neighbours_;
  Buffer turn_;
  std::unique_ptr<uint32_t, FreeHost> stop_;
  Card card_;
  std::vector<std::byte*> opened_;  // by cudaIpcOpenMemHandle
  PeerSumArgs args_ = {};           // but for part and count
};

}  // namespace terrace
