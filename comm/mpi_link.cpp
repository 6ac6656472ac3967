#include "comm/mpi_link.h"

#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <list>
#include <thread>

#include "kernels/base/error.h"

namespace terrace {
namespace {

using std::chrono::microseconds;

int message_size(size_t bytes) {
  if (bytes > INT_MAX) throw Error(ErrorCode::kInternal, fmt::format("a message of {} bytes between hosts is beyond MPI's 2 GiB", bytes));
  return static_cast<int>(bytes);
}

}  // namespace

struct MpiLink::Pending {
  struct Send {
    Bytes bytes;
    MPI_Request request;
  };
  std::list<Send> sends;
  std::vector<MPI_Request> parts;  // of the exchange under way
};

/// Between two looks at MPI: at first a yield, then sleeps that grow to 900 us (DESIGN 4: an idle rank wakes within 1 ms and uses < 2 % of a core).
class MpiLink::BackOff {
 public:
  BackOff(MpiLink& link, bool spin) : link_(link), yields_left_(spin ? 200 : 2) {}
  void pause() {
    link_.window_.throw_if_aborted();
    if (yields_left_ > 0) {
      --yields_left_;
      sched_yield();
      return;
    }
    if (++sleeps_ % 32 == 0) link_.hear_abort();  // each look at MPI costs several system calls
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(sleep_ * 2, microseconds(900));
  }

 private:
  MpiLink& link_;
  int yields_left_;
  microseconds sleep_{20};
  int sleeps_ = 0;
};

MpiLink::MpiLink(Window& window, std::vector<int> leader_of, bool spin)
    : window_(window), leader_of_(std::move(leader_of)), spin_(spin), pending_(std::make_unique<Pending>()) {
  for (int rank = 0; rank < window_.size(); ++rank) {
    if (leader_of_[static_cast<size_t>(rank)] == rank && rank != window_.leader()) other_leaders_.push_back(rank);
  }
}

MpiLink::~MpiLink() = default;

std::vector<int> MpiLink::ranks_of(int leader) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < window_.size(); ++rank) {
    if (leader_of_[static_cast<size_t>(rank)] == leader) ranks.push_back(rank);
  }
  return ranks;
}

void MpiLink::reap() {
  pending_->sends.remove_if([](Pending::Send& send) {
    int delivered = 0;
    MPI_Test(&send.request, &delivered, MPI_STATUS_IGNORE);
    return delivered != 0;
  });
}

void MpiLink::send(int to, LinkTag tag, Bytes bytes) {
  reap();
  Pending::Send& send = pending_->sends.emplace_back(Pending::Send{std::move(bytes), MPI_REQUEST_NULL});
  MPI_Isend(send.bytes.data(), message_size(send.bytes.size()), MPI_BYTE, to, static_cast<int>(tag), MPI_COMM_WORLD, &send.request);
}

Bytes MpiLink::receive(int from, LinkTag tag) {
  BackOff back_off(*this, spin_);
  MPI_Status status;
  for (int there = 0;;) {
    MPI_Iprobe(from, static_cast<int>(tag), MPI_COMM_WORLD, &there, &status);
    if (there != 0) break;
    back_off.pause();
  }
  int size = 0;
  MPI_Get_count(&status, MPI_BYTE, &size);
  Bytes bytes(static_cast<size_t>(size));
  MPI_Recv(bytes.data(), size, MPI_BYTE, from, static_cast<int>(tag), MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  return bytes;
}

void MpiLink::flush() {
  BackOff back_off(*this, spin_);
  for (reap(); !pending_->sends.empty(); reap()) back_off.pause();
}

void MpiLink::tell_abort(int code) {
  for (const int leader : other_leaders_) {
    Bytes bytes(sizeof(code));
    std::memcpy(bytes.data(), &code, sizeof(code));
    send(leader, LinkTag::kAbort, std::move(bytes));
  }
  for (int i = 0; i < 100 && !pending_->sends.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    reap();
  }
}

void MpiLink::hear_abort() {
  int there = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, static_cast<int>(LinkTag::kAbort), MPI_COMM_WORLD, &there, &status);
  if (there == 0) return;
  int code = 0;
  MPI_Recv(&code, sizeof(code), MPI_BYTE, status.MPI_SOURCE, static_cast<int>(LinkTag::kAbort), MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  window_.claim_abort(code);  // printed where it came from
}

void MpiLink::exchange(std::span<float* const> parts, size_t count) {
  std::vector<MPI_Request>& requests = pending_->parts;
  requests.clear();
  const int floats = message_size(count * sizeof(float)) / static_cast<int>(sizeof(float));
  for (int rank = 0; rank < window_.size(); ++rank) {
    float* const part = parts[static_cast<size_t>(rank)];
    const int leader = leader_of_[static_cast<size_t>(rank)];
    const int tag = static_cast<int>(LinkTag::kPart) + rank;
    if (leader != window_.leader()) {
      MPI_Irecv(part, floats, MPI_FLOAT, leader, tag, MPI_COMM_WORLD, &requests.emplace_back());
      continue;
    }
    for (const int other : other_leaders_) MPI_Isend(part, floats, MPI_FLOAT, other, tag, MPI_COMM_WORLD, &requests.emplace_back());
  }
  BackOff back_off(*this, spin_);
  for (int all = 0;;) {
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &all, MPI_STATUSES_IGNORE);
    if (all != 0) return;
    back_off.pause();
  }
}

}  // namespace terrace
