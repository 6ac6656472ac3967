#include "tests/cudasim/nccl/meeting.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

namespace cudasim {

/// One rank on one channel. Sequence numbers count from 1; zero-filled memory is valid.
struct alignas(64) Meeting::Place {
  std::atomic<uint64_t> shown;  // the header and bytes of this number are there
  std::atomic<uint64_t> read;   // it has read everybody's of this number
  CollectiveHeader header;
};

struct Meeting::Memory {
  std::atomic<uint64_t> number;  // of the key: tells it from a later file with the same descriptor
  std::atomic<uint64_t> seed;
  Place places[2][kMaxRanks];
  alignas(4096) std::byte parts[kMaxRanks][kMaxBytes];  // sparse: only touched pages take memory
};

namespace {

const char* name_of(CollectiveHeader::Kind kind) {
  switch (kind) {
    case CollectiveHeader::Kind::kInit: return "ncclCommInitRank";
    case CollectiveHeader::Kind::kWindow: return "ncclCommWindowRegister";
    case CollectiveHeader::Kind::kAllReduce: return "ncclAllReduce";
    case CollectiveHeader::Kind::kAllGather: return "ncclAllGather";
    default: return "ncclBroadcast";
  }
}

}  // namespace

std::string describe(const CollectiveHeader& header) {
  if (header.kind == CollectiveHeader::Kind::kInit) return fmt::format("ncclCommInitRank of {} ranks", header.count);
  return fmt::format("{} of {} elements (type {}, reduction {}, root {})", name_of(header.kind), header.count, header.type, header.reduction, header.root);
}

Meeting::Key Meeting::create(uint64_t seed) {
  static std::atomic<uint64_t> last = 0;
  const int fd = memfd_create("cudasim-nccl", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, sizeof(Memory)) != 0) return {};
  const Key key = {::getpid(), fd, ++last};
  void* mapped = mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (mapped == MAP_FAILED) return {};
  auto* memory = static_cast<Memory*>(mapped);
  memory->seed = seed;
  memory->number = key.number;
  munmap(mapped, sizeof(Memory));
  return key;  // the descriptor stays open for those that are still to join: a few bytes a communicator
}

Meeting::Meeting(const Key& key, int rank, int size) : rank_(rank), size_(size) {
  const int fd = ::open(fmt::format("/proc/{}/fd/{}", key.pid, key.fd).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED) return;
  memory_ = static_cast<Memory*>(mapped);
  if (memory_->number != key.number) {
    munmap(mapped, sizeof(Memory));
    memory_ = nullptr;
  }
}

Meeting::~Meeting() {
  if (memory_ != nullptr) munmap(static_cast<void*>(memory_), sizeof(Memory));
}

Meeting::Place& Meeting::place(Channel channel, int rank) const { return memory_->places[static_cast<int>(channel)][rank]; }
const std::byte* Meeting::part(int rank) const { return memory_->parts[rank]; }
uint64_t Meeting::seed() const { return memory_->seed; }

int Meeting::timeout_seconds() {
  const char* named = std::getenv("CUDASIM_NCCL_TIMEOUT");
  return named != nullptr ? std::max(1, std::atoi(named)) : 60;
}

Meeting::Outcome Meeting::meet(Channel channel, const CollectiveHeader& header, std::span<const std::byte> bytes, const std::atomic<bool>& aborted,
                               const std::function<void()>& when_met) {
  const uint64_t now = ++sequence_[static_cast<int>(channel)];
  // Whoever shows again overwrites what a slower rank may still be reading.
  if (const Outcome outcome = wait(aborted, [&](int peer) { return place(channel, peer).read >= now - 1; }); outcome != Outcome::kMet) return outcome;
  Place& mine = place(channel, rank_);
  mine.header = header;
  if (!bytes.empty()) std::memcpy(memory_->parts[rank_], bytes.data(), bytes.size());
  mine.shown = now;
  if (const Outcome outcome = wait(aborted, [&](int peer) { return place(channel, peer).shown >= now; }); outcome != Outcome::kMet) {
    trouble_ = fmt::format("rank {} waits in its {}. collective, {}: {}", rank_, now, describe(header), trouble_);
    return outcome;
  }
  Outcome outcome = Outcome::kMet;
  for (int peer = 0; peer < size_; ++peer) {
    const CollectiveHeader& theirs = place(channel, peer).header;
    if (theirs == place(channel, 0).header) continue;
    outcome = Outcome::kDiffer;
    trouble_ = fmt::format("the ranks' {}. collectives differ: rank 0 calls {}, rank {} calls {}", now, describe(place(channel, 0).header), peer, describe(theirs));
    break;
  }
  if (outcome == Outcome::kMet && when_met) when_met();
  mine.read = now;
  return outcome;
}

Meeting::Outcome Meeting::wait(const std::atomic<bool>& aborted, const std::function<bool(int rank)>& came) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(timeout_seconds());
  int peer = 0;
  for (uint64_t turn = 0;; ++turn) {
    while (peer < size_ && came(peer)) ++peer;
    if (peer == size_) return Outcome::kMet;
    if (aborted) return Outcome::kAborted;
    if (Clock::now() > deadline) {
      trouble_ = fmt::format("rank {} has not come within {} s", peer, timeout_seconds());
      return Outcome::kLate;
    }
    if (turn < 100) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    if (turn % 500 == 499 && while_waiting) while_waiting();
  }
}

}  // namespace cudasim
