// The order in which waiting requests go to the engine: by priority, then fairly between owners (API keys), then as they came. Bounded. Pure: no clock,
// no lock; ids only.
//
// Fairness is start-time fair queueing (Goyal, Vin, Chen, SIGCOMM 1996): an owner's virtual time grows by the cost of what was taken, the owner with the
// least goes next, and one who comes back after a pause begins where the others are, so that idling saves up nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace terrace {

class RequestQueue {
 public:
  struct Entry {
    uint64_t id = 0;
    std::string owner;
    int32_t priority = 0;     // the smaller goes first, as in vLLM
    int64_t deadline_us = 0;  // 0: none
    int64_t cost = 0;         // tokens that it may take
  };
  explicit RequestQueue(size_t capacity) : capacity_(capacity) {}

  size_t size() const { return size_; }
  /// False when the queue is full.
  bool push(Entry entry);
  std::optional<Entry> pop();
  /// False when it is not here (any more).
  bool remove(uint64_t id);
  /// Takes out those whose deadline has come.
  std::vector<uint64_t> take_expired(int64_t now_us);

 private:
  using Waiting = std::map<std::string, std::deque<Entry>>;  // by owner, none empty

  size_t capacity_;
  size_t size_ = 0;
  std::map<int32_t, Waiting> waiting_;  // by priority, none empty
  std::map<std::string, int64_t> virtual_time_;  // of owners, in tokens
  int64_t now_ = 0;                              // virtual time of what was taken last
};

}  // namespace terrace
