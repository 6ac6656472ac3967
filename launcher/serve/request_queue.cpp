#include "launcher/serve/request_queue.h"

#include <algorithm>
#include <utility>

namespace terrace {

bool RequestQueue::push(Entry entry) {
  if (size_ >= capacity_) return false;
  int64_t& owner_time = virtual_time_[entry.owner];
  owner_time = std::max(owner_time, now_);
  std::deque<Entry>& line = waiting_[entry.priority][entry.owner];
  line.push_back(std::move(entry));
  ++size_;
  return true;
}

std::optional<RequestQueue::Entry> RequestQueue::pop() {
  if (size_ == 0) return std::nullopt;
  const auto first = waiting_.begin();
  Waiting& owners = first->second;
  const auto next = std::ranges::min_element(owners, {}, [&](const auto& owner) { return virtual_time_[owner.first]; });
  Entry entry = std::move(next->second.front());
  next->second.pop_front();
  if (next->second.empty()) owners.erase(next);
  if (owners.empty()) waiting_.erase(first);
  int64_t& owner_time = virtual_time_[entry.owner];
  now_ = owner_time;
  owner_time += entry.cost;
  --size_;
  return entry;
}

bool RequestQueue::remove(uint64_t id) {
  for (auto& [priority, owners] : waiting_) {
    for (auto& [owner, line] : owners) {
      const auto found = std::ranges::find(line, id, &Entry::id);
      if (found == line.end()) continue;
      line.erase(found);
      if (line.empty()) owners.erase(std::string(owner));
      if (owners.empty()) waiting_.erase(int32_t{priority});
      --size_;
      return true;
    }
  }
  return false;
}

std::vector<uint64_t> RequestQueue::take_expired(int64_t now_us) {
  std::vector<uint64_t> expired;
  for (const auto& [priority, owners] : waiting_) {
    for (const auto& [owner, line] : owners) {
      for (const Entry& entry : line) {
        if (entry.deadline_us != 0 && entry.deadline_us <= now_us) expired.push_back(entry.id);
      }
    }
  }
  for (const uint64_t id : expired) remove(id);
  return expired;
}

}  // namespace terrace
