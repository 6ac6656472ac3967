#include "kernels/cuda/cuda_peer_sum.h"

#include <fmt/format.h>

#include <atomic>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/cuda/check.h"

namespace terrace {
namespace {

constexpr size_t kFlagBytes = PeerSum::kMaxRanks * kPeerSumBlocks * sizeof(uint32_t);
constexpr size_t kIpcGranule = size_t{2} << 20;  // CUDA shares whole 2 MiB of its own: a smaller piece would show the peers what lies beside it

size_t round_up(size_t value, size_t granule) { return (value + granule - 1) / granule * granule; }

}  // namespace

CudaPeerSum::CudaPeerSum(const PeerSumOptions& options) : options_(options), slot_floats_(round_up(options.max_floats, 4)) {
  const size_t slots = 2 * static_cast<size_t>(options.size) * slot_floats_ * sizeof(float);
  memory_ = std::make_shared<Buffer>(options_.allocate(round_up(kFlagBytes + slots, options.one_process ? 1 : kIpcGranule)));
  turn_ = options_.allocate(sizeof(unsigned long long));
  void* word = nullptr;
  check_cuda(cudaHostAlloc(&word, sizeof(uint32_t), cudaHostAllocMapped), "allocating the word that ends a wait for other ranks");
  stop_.reset(static_cast<uint32_t*>(word));
  *stop_ = 0;
  check_cuda(cudaGetDevice(&card_.device), "asking for the device");
  check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(options_.stream)), "clearing the memory for sums");  // before a peer may write there
  card_.memory = &memory_;
  if (!options_.one_process) check_cuda(cudaIpcGetMemHandle(&card_.handle, memory_->data()), "making an IPC handle of the memory for sums");
  args_.turn = reinterpret_cast<unsigned long long*>(turn_.data());
  args_.stop = stop_.get();
  args_.slot_floats = static_cast<uint32_t>(slot_floats_);
  args_.rank = options_.rank;
  args_.size = options_.size;
  place(options_.rank, memory_->data());
}

CudaPeerSum::~CudaPeerSum() { close(); }

std::vector<std::byte> CudaPeerSum::card() const {
  const auto bytes = std::as_bytes(std::span(&card_, 1));
  return {bytes.begin(), bytes.end()};
}

void CudaPeerSum::open(std::span<const std::vector<std::byte>> cards) {
  for (int rank = 0; rank < options_.size; ++rank) {
    if (rank == options_.rank) continue;
    Card theirs;
    std::memcpy(static_cast<void*>(&theirs), cards[static_cast<size_t>(rank)].data(), sizeof theirs);
    place(rank, open_memory(rank, theirs));
  }
}

std::byte* CudaPeerSum::open_memory(int rank, const Card& card) {
  const std::string what = fmt::format("reaching the memory of rank {}'s device from rank {}'s", rank, options_.rank);
  if (!options_.one_process) {
    void* opened = nullptr;
    check_cuda(cudaIpcOpenMemHandle(&opened, card.handle, cudaIpcMemLazyEnablePeerAccess), what.c_str());
    opened_.push_back(static_cast<std::byte*>(opened));
    return opened_.back();
  }
  int can = 0;
  check_cuda(cudaDeviceCanAccessPeer(&can, card_.device, card.device), what.c_str());
  if (can == 0) throw Error(ErrorCode::kInvalidValue, fmt::format("{} failed: devices {} and {} have no peer access", what, card_.device, card.device));
  const cudaError_t status = cudaDeviceEnablePeerAccess(card.device, 0);  // stays: NCCL may count on it, too
  if (status != cudaErrorPeerAccessAlreadyEnabled) check_cuda(status, what.c_str());
  else cudaGetLastError();
  neighbours_.push_back(*card.memory);
  return neighbours_.back()->data();
}

void CudaPeerSum::place(int rank, std::byte* memory) {
  args_.flags[rank] = reinterpret_cast<uint32_t*>(memory);
  args_.slots[rank] = reinterpret_cast<float*>(memory + kFlagBytes);
}

void CudaPeerSum::close() {
  if (opened_.empty() && neighbours_.empty()) return;
  cudaStreamSynchronize(static_cast<cudaStream_t>(options_.stream));  // what has failed is said elsewhere
  for (std::byte* memory : opened_) cudaIpcCloseMemHandle(memory);
  opened_.clear();
  neighbours_.clear();
}

PeerSumArgs CudaPeerSum::args_of(float* part, size_t count) const {
  if (count > slot_floats_) throw Error(ErrorCode::kInternal, fmt::format("a sum of {} floats is longer than the {} announced", count, slot_floats_));
  PeerSumArgs args = args_;
  args.part = part;
  args.count = static_cast<uint32_t>(count);
  return args;
}

void CudaPeerSum::add_up(float* part, size_t count) {
  if (count > 0) launch_peer_sum(args_of(part, count), static_cast<cudaStream_t>(options_.stream));
}

void CudaPeerSum::add_up_then_norm(float* part, const ResidualNorm& then) {
  const auto count = static_cast<size_t>(then.residual.rows * then.residual.cols);
  if (count > 0) launch_peer_sum_norm(args_of(part, count), then, static_cast<cudaStream_t>(options_.stream));
}

void CudaPeerSum::stop() { std::atomic_ref(*stop_).store(1, std::memory_order_release); }

}  // namespace terrace
