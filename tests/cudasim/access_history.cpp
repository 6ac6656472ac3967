#include "tests/cudasim/access_history.h"

#include <fmt/format.h>

#include <algorithm>

namespace cudasim {

void Clock::join(const Clock& other) {
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] = std::max(counts_[i], other.counts_[i]);
}

bool Clock::covers(const Clock& other) const {
  for (size_t i = 0; i < other.counts_.size(); ++i) {
    if (of(i) < other.counts_[i]) return false;
  }
  return true;
}

Footprint::Page& Footprint::page(uintptr_t number) {
  if (last_ != nullptr && last_number_ == number) return *last_;
  std::unique_ptr<Page>& page = pages_[number];
  if (page == nullptr) {
    if (spare_.empty()) {
      page = std::make_unique<Page>();
    } else {
      page = std::move(spare_.back());
      spare_.pop_back();
      *page = {};
    }
  }
  last_ = page.get();
  last_number_ = number;
  return *last_;
}

void Footprint::add(const void* address, size_t bytes, bool write) {
  auto begin = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = begin + bytes;
  while (begin < end) {
    const uintptr_t stop = std::min(end, begin / 64 * 64 + 64);
    const uint64_t length = stop - begin;
    const uint64_t mask = (length == 64 ? ~uint64_t{0} : (uint64_t{1} << length) - 1) << (begin % 64);
    page(begin / kPageBytes).bits[write][begin % kPageBytes / 64] |= mask;
    begin = stop;
  }
}

void Footprint::clear() {
  for (auto& [number, page] : pages_) {
    if (spare_.size() < 4096) spare_.push_back(std::move(page));
  }
  pages_.clear();
  last_ = nullptr;
}

void AccessHistory::add(const Footprint& footprint, const Clock& clock, size_t stream, uint64_t count, const std::string& name) {
  const Stamp stamp{stream, count, &*names_.insert(name).first};
  footprint.each(false, [&](uintptr_t begin, uintptr_t end) { read(begin, end, clock, stamp); });
  footprint.each(true, [&](uintptr_t begin, uintptr_t end) { write(begin, end, clock, stamp); });
}

void AccessHistory::split(uintptr_t at) {
  auto after = records_.upper_bound(at);
  if (after == records_.begin()) return;
  auto& [begin, record] = *std::prev(after);
  if (begin == at || record.end <= at) return;
  Record right = record;
  record.end = at;
  records_.emplace(at, std::move(right));
}

void AccessHistory::check(uintptr_t begin, const Stamp& earlier, const Clock& clock, const Stamp& now, const char* what) {
  if (earlier.count == 0 || clock.of(earlier.stream) >= earlier.count) return;
  if (earlier.stream == now.stream && earlier.count == now.count) return;
  const std::string sentence = fmt::format("stream race: {} by \"{}\" on stream {} is not ordered after \"{}\" on stream {}", what, *now.name, now.stream, *earlier.name, earlier.stream);
  if (reported_.insert(sentence).second) report(sentence + ", at " + describe_address(reinterpret_cast<const void*>(begin)));
}

void AccessHistory::read(uintptr_t begin, uintptr_t end, const Clock& clock, const Stamp& stamp) {
  split(begin);
  split(end);
  uintptr_t at = begin;
  while (at < end) {
    auto found = records_.lower_bound(at);
    if (found == records_.end() || found->first > at) {  // nobody has touched what comes next
      const uintptr_t stop = found == records_.end() ? end : std::min(end, found->first);
      records_.emplace_hint(found, at, Record{stop, {}, {stamp}});
      at = stop;
      continue;
    }
    Record& record = found->second;
    check(at, record.write, clock, stamp, "a read");
    const auto same_stream = [&](const Stamp& other) { return other.stream == stamp.stream; };
    const auto own = std::find_if(record.reads.begin(), record.reads.end(), same_stream);
    if (own == record.reads.end()) record.reads.push_back(stamp);
    else *own = stamp;
    at = record.end;
  }
}

void AccessHistory::write(uintptr_t begin, uintptr_t end, const Clock& clock, const Stamp& stamp) {
  split(begin);
  split(end);
  auto first = records_.lower_bound(begin), last = first;
  for (; last != records_.end() && last->first < end; ++last) {
    check(last->first, last->second.write, clock, stamp, "a write over what was written");
    for (const Stamp& reader : last->second.reads) check(last->first, reader, clock, stamp, "a write over what is read");
  }
  records_.emplace_hint(records_.erase(first, last), begin, Record{end, stamp, {}});
}

}  // namespace cudasim
