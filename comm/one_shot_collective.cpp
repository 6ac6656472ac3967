#include "comm/one_shot_collective.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>

#include "kernels/base/cuda_module.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(20);

struct Limit {
  int ranks;  // up to so many
  size_t bytes;
};
// Each rank writes its part once to every other, (n - 1) S bytes over its links and one journey of a flag, where NCCL's ring takes 2 (n - 1) journeys for 2 S (n - 1) / n bytes: one shot
// wins while journeys cost more than the bytes that it sends more. For 4 and 8 ranks the bounds are where vLLM (csrc/custom_all_reduce.cuh) leaves one shot for two over NVLink, for 2 a guess: predicted, not measured here.
constexpr Limit kLimits[] = {{2, size_t{1} << 20}, {4, size_t{512} << 10}, {8, size_t{256} << 10}};

Bytes to_bytes(char kind, std::string_view text) {
  Bytes bytes(1 + text.size());
  bytes.front() = static_cast<std::byte>(kind);
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.data() + 1);
  return bytes;
}

std::string to_text(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// Every rank comes with bytes of one length ('+' and what it has to tell) or with a refusal ('-' and a sentence); every rank leaves with all of them, or with the first refusal.
Bytes tell_all(Control& control, const Bytes& own) {
  Bytes all = {std::byte{'+'}};
  for (const Bytes& bytes : control.gather(own)) {
    if (bytes.front() == std::byte{'-'}) {
      all = bytes;
      break;
    }
    all.insert(all.end(), bytes.begin() + 1, bytes.end());
  }
  control.broadcast(all);
  return all;
}

bool refused(const Bytes& bytes) { return bytes.front() == std::byte{'-'}; }

/// `body` gives what to tell the others.
template <typename Body>
Bytes try_to(Body body) {
  try {
    return to_bytes('+', body());
  } catch (const Error& error) {
    return to_bytes('-', error.what());
  }
}

/// Null, and why not, the same on all ranks.
std::unique_ptr<PeerSum> open_peers(RankGroup& group, const PeerSumOptions& options, std::string& why_not) {
  if (group.local_size != group.size || group.size > PeerSum::kMaxRanks) {
    why_not = group.local_size != group.size ? "the ranks are on several hosts" : fmt::format("there are more than {} ranks", PeerSum::kMaxRanks);
    return nullptr;
  }
  std::unique_ptr<PeerSum> peers;
  const Bytes cards = tell_all(*group.control, try_to([&] {
    using Make = PeerSum* (*)(const PeerSumOptions*);
    peers.reset(reinterpret_cast<Make>(cuda_module_entry("terrace_make_cuda_peer_sum"))(&options));
    return to_text(peers->card());
  }));
  if (refused(cards)) {
    why_not = to_text(std::span(cards).subspan(1));
    return nullptr;
  }
  const Bytes opened = tell_all(*group.control, try_to([&] {
    std::vector<Bytes> apart;
    const size_t size = (cards.size() - 1) / static_cast<size_t>(group.size);
    for (auto begin = cards.begin() + 1; begin != cards.end(); begin += static_cast<std::ptrdiff_t>(size)) apart.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(size));
    peers->open(apart);
    return std::string();
  }));
  if (!refused(opened)) return peers;
  why_not = to_text(std::span(opened).subspan(1));
  peers->close();
  group.control->barrier();  // nobody has this rank's memory open any more
  return nullptr;
}

}  // namespace

size_t one_shot_limit(int ranks) {
  for (const Limit& limit : kLimits) {
    if (ranks <= limit.ranks) return limit.bytes;
  }
  return 0;
}

std::unique_ptr<Collective> with_one_shot_sums(std::unique_ptr<Collective> large, RankGroup& group, const DeviceLink& link) {
  PeerSumOptions options;
  options.rank = group.rank;
  options.size = group.size;
  options.one_process = !group.mpi;
  options.max_floats = std::min(one_shot_limit(group.size) / sizeof(float), link.buffer_floats);
  options.stream = link.stream;
  options.allocate = link.allocate;
  std::string why_not;
  std::unique_ptr<PeerSum> small = open_peers(group, options, why_not);
  if (small == nullptr) {
    if (group.rank == 0) log_info(fmt::format("sums between ranks go by NCCL alone: {}", why_not));
    return large;
  }
  if (group.rank == 0) log_info(fmt::format("sums of up to {} KiB between the {} ranks go through their devices' memory, in one shot; longer ones by NCCL", one_shot_limit(group.size) >> 10, group.size));
  return std::make_unique<OneShotCollective>(std::move(large), std::move(small), options.max_floats, group);
}

OneShotCollective::OneShotCollective(std::unique_ptr<Collective> large, std::unique_ptr<PeerSum> small, size_t max_floats, RankGroup& group)
    : control_(*group.control), processes_(group.mpi), exceptions_(std::uncaught_exceptions()), max_floats_(max_floats), large_(std::move(large)), small_(std::move(small)) {
  watch_ = std::thread([this] { watch(); });
}

OneShotCollective::~OneShotCollective() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  watch_.join();
  if (std::uncaught_exceptions() > exceptions_ || control_.aborted()) {
    small_->stop();
    if (processes_) static_cast<void>(small_.release());  // the process is about to end, and others may still write into its memory
    return;
  }
  small_->close();
  try {
    control_.barrier();  // nobody has this rank's memory open any more
  } catch (const Error&) {  // the job is ending, and says why elsewhere
  }
}

std::span<float> OneShotCollective::all_reduce(std::span<float> part) {
  if (part.size() > max_floats_) return large_->all_reduce(part);
  small_->add_up(part.data(), part.size());
  return part;
}

void OneShotCollective::all_reduce_then_norm(std::span<float> part, const ResidualNorm& then, FunctionRef<void(std::span<float> sum)> apply) {
  if (part.size() > max_floats_) return apply(large_->all_reduce(part));
  small_->add_up_then_norm(part.data(), then);
}

void OneShotCollective::check() {
  if (control_.aborted()) throw Error(ErrorCode::kRankLost, "another rank has ended the job");
  large_->check();
}

// A process ends with the job; where ranks are threads, a kernel may wait for one that has left.
void OneShotCollective::watch() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, kWatchInterval, [this] { return stop_; })) {
    if (!control_.aborted()) continue;
    small_->stop();
    return;
  }
}

}  // namespace terrace
