#include "comm/mpi_control.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "kernels/base/log.h"

namespace terrace {
namespace {

/// Messages of several ranks as one: {u64 size, bytes} each.
Bytes pack(std::span<const Bytes> messages) {
  Bytes packed;
  for (const Bytes& message : messages) {
    const uint64_t size = message.size();
    const auto* size_bytes = reinterpret_cast<const std::byte*>(&size);
    packed.insert(packed.end(), size_bytes, size_bytes + sizeof(size));
    packed.insert(packed.end(), message.begin(), message.end());
  }
  return packed;
}

std::vector<Bytes> unpack(std::span<const std::byte> packed) {
  std::vector<Bytes> messages;
  while (!packed.empty()) {
    uint64_t size = 0;
    std::memcpy(&size, packed.data(), sizeof(size));
    packed = packed.subspan(sizeof(size));
    messages.emplace_back(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(size));
    packed = packed.subspan(size);
  }
  return messages;
}

Bytes pack_code(int code) {
  Bytes bytes(sizeof(code));
  std::memcpy(bytes.data(), &code, sizeof(code));
  return bytes;
}

int unpack_code(const Bytes& bytes) {
  int code = 0;
  std::memcpy(&code, bytes.data(), sizeof(code));
  return code;
}

}  // namespace

void MpiControl::broadcast(Bytes& bytes) {
  if (link_ != nullptr) {
    if (rank() == 0) {
      for (const int leader : link_->other_leaders()) link_->send(leader, LinkTag::kBroadcast, bytes);
    } else {
      bytes = link_->receive(0, LinkTag::kBroadcast);
    }
  }
  host_.broadcast(bytes);
  // MPI moves a large message on only while it is called, and who waits for a device next, which waits for the other hosts, calls nothing.
  if (link_ != nullptr && rank() == 0) link_->flush();
}

std::vector<Bytes> MpiControl::gather(std::span<const std::byte> bytes) {
  std::vector<Bytes> mine = host_.gather(bytes);
  if (link_ == nullptr) return mine;
  if (rank() != 0) {
    link_->send(0, LinkTag::kGather, pack(mine));
    return {};
  }
  std::vector<Bytes> all(static_cast<size_t>(size()));
  const auto place = [&](int leader, std::vector<Bytes> messages) {
    const std::vector<int> ranks = link_->ranks_of(leader);
    for (size_t i = 0; i < ranks.size(); ++i) all[static_cast<size_t>(ranks[i])] = std::move(messages.at(i));
  };
  place(0, std::move(mine));
  for (const int leader : link_->other_leaders()) place(leader, unpack(link_->receive(leader, LinkTag::kGather)));
  return all;
}

void MpiControl::barrier() {
  gather({});
  Bytes nothing;
  broadcast(nothing);
}

void MpiControl::abort(ErrorCode code, std::string_view message) {
  // What the user did wrong every rank finds out for itself: rank 0 goes first, so that it is said once.
  const auto patience = std::chrono::milliseconds(rank() == 0 ? 0 : window_.leader() == 0 ? 100 : 400);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!window_.aborted() && std::chrono::steady_clock::now() < deadline) {
    if (link_ != nullptr) link_->hear_abort();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (window_.claim_abort(exit_code(code))) log_error(message);
  std::fflush(nullptr);
  if (link_ != nullptr) link_->tell_abort(*window_.aborted());
  window_.state(rank()).left.store(1);
  ::_exit(*window_.aborted());  // mpirun ends who has not heard
}

int MpiControl::agree_on_result(int result) {
  window_.set_done(rank(), result);
  if (rank() != window_.leader()) return window_.wait_for_verdict();
  int code = 0;
  for (const int peer : window_.host_ranks()) {
    window_.wait(window_.state(peer).done, 1, peer);
    if (code == 0) code = window_.state(peer).result.load();
  }
  if (link_ != nullptr && rank() != 0) {
    link_->send(0, LinkTag::kResult, pack_code(code));
    code = unpack_code(link_->receive(0, LinkTag::kVerdict));
  } else if (link_ != nullptr) {
    for (const int leader : link_->other_leaders()) {
      const int theirs = unpack_code(link_->receive(leader, LinkTag::kResult));
      if (code == 0) code = theirs;
    }
    for (const int leader : link_->other_leaders()) link_->send(leader, LinkTag::kVerdict, pack_code(code));
  }
  if (link_ != nullptr) link_->flush();
  window_.set_verdict(code);
  return code;
}

}  // namespace terrace
