// CacheBooks::state().
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "tests/support/runtime/cache_books.h"

namespace terrace {
namespace {

class Writer {
 public:
  template <typename... Numbers>
  void put(Numbers... numbers) {
    (put_one(static_cast<int64_t>(numbers)), ...);
  }
  template <typename Range>
  void put_all(const Range& range) {
    put(std::ranges::size(range));
    for (const auto& each : range) put(each);
  }
  void put(PageRef ref) { put(ref.tier, ref.frame); }
  std::string take() { return std::move(text_); }

 private:
  void put_one(int64_t number) {  // most are small
    if (number >= -100 && number < 100) {
      text_.push_back(static_cast<char>(number));
      return;
    }
    text_.push_back('\x7f');
    text_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  std::string text_;
};

}  // namespace

std::string CacheBooks::state() const {
  const PrefixIndex& pages = tiers_.pages();
  Writer out;
  for (const auto& sequence : inside_.running()) {
    out.put(sequence->id, sequence->num_tokens(), sequence->num_computed, sequence->slot);
    for (const SequenceGroup& group : sequence->groups) {
      out.put(group.num_published, group.num_let_go);
      out.put(group.pages.size());
      for (const SequencePage& page : group.pages) out.put(page.cached), out.put(page.place);
      out.put_all(group.on_device);
    }
  }
  out.put(-1);
  for (const auto& sequence : inside_.waiting()) {
    out.put(sequence->id, sequence->num_tokens(), sequence->prefix_decided);
    for (const SequenceGroup& group : sequence->groups) {
      out.put(group.num_near);
      out.put_all(group.prefix);
      out.put_all(group.prefix_tier);
    }
  }
  out.put(-1);
  for (const Tier tier : {Tier::kDevice, Tier::kHost, Tier::kDisk}) {  // the order of last uses in each, and now
    std::map<double, int> order = {{static_cast<double>(inside_.now()), 0}};
    const auto each = [&](auto visit) {
      for (PageId id = 0; id < pages.num_ids(); ++id) {
        if (is_alive(id) && pages.at(id).in(tier)) visit(inside_.last_use(id, tier));
      }
    };
    each([&](double step) { order.try_emplace(step, 0); });
    int next = 0;
    for (auto& [step, place] : order) place = next++;
    each([&](double step) { out.put(order[step]); });
    out.put(order[static_cast<double>(inside_.now())]);
  }
  for (PageId id = 0; id < pages.num_ids(); ++id) {
    const CachedPage& page = pages.at(id);
    if (!is_alive(id)) continue;
    out.put(id, page.key.low, page.parent, page.holds, page.in_place, page.move != 0, page.leaving, page.verified, page.newest_child, page.older_sibling);
    out.put_all(page.frame);
  }
  out.put_all(inside_.unused_ids());
  out.put_all(inside_.published());
  for (const PageMove& move : inside_.planned()) out.put(move.from), out.put(move.to);
  out.put(-1);
  for (const CacheWorld::Moving& moving : world_.moving()) {
    out.put(moving.move.from), out.put(moving.move.to);
    out.put(moving.ranks_left.size());
    out.put_all(moving.bytes);  // spoilt where a rank has failed
  }
  out.put(-1, scheduler_.tables().digest(), world_.tables().digest());
  for (uint32_t frame = 0; frame < owners_[0].size(); ++frame) {
    if (owners_[0][frame].kind == Owner::Kind::kSequence) out.put_all(world_.page({Tier::kDevice, frame}));
  }
  return out.take();
}

}  // namespace terrace
