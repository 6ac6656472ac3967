#include "comm/window_control.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/log.h"

namespace terrace {

void WindowControl::write_message(MailboxHead& head, std::byte* data, std::span<const std::byte> bytes, std::span<const Reader> readers,
                                  uint32_t& sequence) {
  size_t sent = 0;
  do {  // an empty message is one empty chunk
    for (const Reader& reader : readers) window_.wait(*reader.read, sequence, reader.rank);
    const size_t chunk = std::min(bytes.size() - sent, Window::kMessageBytes);
    head.total = bytes.size();
    head.chunk = chunk;
    if (chunk > 0) std::memcpy(data, bytes.data() + sent, chunk);
    head.written.advance_to(++sequence);
    sent += chunk;
  } while (sent < bytes.size());
}

void WindowControl::read_message(MailboxHead& head, const std::byte* data, int writer, Signal& read, uint32_t& sequence, Bytes& bytes) {
  bytes.clear();
  size_t total = 0;
  do {
    window_.wait(head.written, ++sequence, writer);
    total = head.total;
    bytes.reserve(total);
    bytes.insert(bytes.end(), data, data + head.chunk);
    read.advance_to(sequence);
  } while (bytes.size() < total);
}

void WindowControl::broadcast(Bytes& bytes) {
  window_.throw_if_aborted();
  if (!is_leader()) {
    read_message(window_.broadcast(), window_.broadcast_data(), window_.leader(), window_.state(rank_).broadcast_read, broadcasts_, bytes);
    return;
  }
  std::vector<Reader> readers;
  for (const int rank : window_.host_ranks()) {
    if (rank != rank_) readers.push_back({rank, &window_.state(rank).broadcast_read});
  }
  if (!readers.empty()) write_message(window_.broadcast(), window_.broadcast_data(), bytes, readers, broadcasts_);
}

std::vector<Bytes> WindowControl::gather(std::span<const std::byte> bytes) {
  window_.throw_if_aborted();
  RankState& mine = window_.state(rank_);
  if (!is_leader()) {
    const Reader leader{window_.leader(), &mine.gather_read};
    write_message(mine.gather, window_.gather_data(rank_), bytes, {&leader, 1}, gathers_);
    return {};
  }
  const std::span<const int> ranks = window_.host_ranks();
  gathers_of_.resize(ranks.size());
  std::vector<Bytes> messages(ranks.size());
  messages[0].assign(bytes.begin(), bytes.end());
  for (size_t i = 1; i < ranks.size(); ++i) {
    RankState& peer = window_.state(ranks[i]);
    read_message(peer.gather, window_.gather_data(ranks[i]), ranks[i], peer.gather_read, gathers_of_[i], messages[i]);
  }
  return messages;
}

void WindowControl::barrier() {
  gather({});
  Bytes nothing;
  broadcast(nothing);
}

void WindowControl::abort(ErrorCode code, std::string_view message) {
  if (window_.claim_abort(exit_code(code))) log_error(message);
}

}  // namespace terrace
