#include "runtime/cache/page_table.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

// Entries are summed, so that an entry is taken out again by subtracting its hash.
uint64_t entry_hash(uint64_t slot, uint64_t kind, uint64_t value) {
  const std::array<uint64_t, 3> fields = {slot, kind, value};
  return XXH3_64bits(fields.data(), sizeof fields);
}

constexpr uint64_t kSequenceEntry = ~uint64_t{0};  // any other kind is a group and a page index

uint64_t sequence_hash(int32_t slot, SequenceId sequence) {
  return entry_hash(static_cast<uint64_t>(slot), kSequenceEntry, sequence);
}

uint64_t page_hash(int32_t slot, size_t group, size_t index, PageRef page) {
  return entry_hash(static_cast<uint64_t>(slot), uint64_t{group} << 32 | index, uint64_t{static_cast<uint8_t>(page.tier)} << 32 | page.frame);
}

}  // namespace

PageTables::Slot& PageTables::at(int32_t slot, bool open, const char* action) {
  const bool in_range = slot >= 0 && slot < num_slots();
  if (!in_range || slots_[static_cast<size_t>(slot)].open != open) {
    throw Error(ErrorCode::kPlanMismatch, fmt::format("cannot {} slot {} of {}: it is {}", action, slot, num_slots(),
                                                      !in_range ? "out of range" : open ? "closed" : "open"));
  }
  return slots_[static_cast<size_t>(slot)];
}

void PageTables::open(int32_t slot, SequenceId sequence) {
  Slot& entry = at(slot, false, "open");
  entry.open = true;
  entry.sequence = sequence;
  digest_ += sequence_hash(slot, sequence);
}

void PageTables::close(int32_t slot) {
  Slot& entry = at(slot, true, "close");
  digest_ -= sequence_hash(slot, entry.sequence);
  for (size_t group = 0; group < entry.pages.size(); ++group) {
    std::vector<PageRef>& pages = entry.pages[group];
    for (size_t i = 0; i < pages.size(); ++i) digest_ -= page_hash(slot, group, i, pages[i]);
    pages.clear();
  }
  entry.open = false;
}

void PageTables::map(int32_t slot, int32_t group, int32_t index, PageRef page) {
  Slot& entry = at(slot, true, "map a page of");
  const auto g = static_cast<size_t>(group), i = static_cast<size_t>(index);
  if (g >= entry.pages.size() || i > entry.pages[g].size()) {
    throw Error(ErrorCode::kPlanMismatch, fmt::format("cannot map page {} of group {} of slot {}, which has {} groups and {} pages in this one", index, group, slot,
                                                      entry.pages.size(), g < entry.pages.size() ? entry.pages[g].size() : 0));
  }
  std::vector<PageRef>& pages = entry.pages[g];
  if (i == pages.size()) {
    pages.push_back(page);
  } else {
    digest_ -= page_hash(slot, g, i, std::exchange(pages[i], page));
  }
  digest_ += page_hash(slot, g, i, page);
}

bool PageTables::is_open(int32_t slot) const {
  return slot >= 0 && slot < num_slots() && slots_[static_cast<size_t>(slot)].open;
}

std::span<const PageRef> PageTables::pages(int32_t slot, int32_t group) const { return slots_.at(static_cast<size_t>(slot)).pages.at(static_cast<size_t>(group)); }

std::string PageTables::describe() const {
  std::string text;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].open) continue;
    text += fmt::format("slot {} (sequence {}):", i, slots_[i].sequence);
    for (size_t group = 0; group < slots_[i].pages.size(); ++group) {
      if (group > 0) text += " |";
      for (const PageRef& page : slots_[i].pages[group]) {
        text += page.frame == kNoFrame ? " -" : fmt::format(" {}{}", page.tier == Tier::kDevice ? "" : "host:", page.frame);
      }
    }
    text += '\n';
  }
  return text;
}

}  // namespace terrace
