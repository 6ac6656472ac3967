// The page tables of all slots: for each sequence in flight and each layer group, which frame holds which of its pages. Rank 0's scheduler keeps one as its books,
// every rank's worker keeps one as what it did; equal digests prove that they are the same (LAW 1). Step thread only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/cache/page.h"
#include "runtime/request.h"

namespace terrace {

class PageTables {
 public:
  PageTables(int32_t num_slots, int32_t num_groups) : slots_(static_cast<size_t>(num_slots), Slot(num_groups)) {}

  int32_t num_slots() const { return static_cast<int32_t>(slots_.size()); }
  /// A slot must be closed before it is opened again; an action out of turn is Error(kPlanMismatch).
  void open(int32_t slot, SequenceId sequence);
  void close(int32_t slot);
  /// Maps a page of a slot and group: the next one in order of position, or one that was mapped before, to another place. kNoFrame: to none, its
  /// sequence will not read it again.
  void map(int32_t slot, int32_t group, int32_t index, PageRef page);

  bool is_open(int32_t slot) const;
  std::span<const PageRef> pages(int32_t slot, int32_t group) const;
  /// Incremental hash over all open slots and their entries; independent of the order of events.
  uint64_t digest() const { return digest_; }
  /// "slot 3 (sequence 17): host:7 4 - 12" a line, of several groups "... host:7 4 | - 12", for the diff after a mismatch.
  std::string describe() const;

 private:
  struct Slot {
    explicit Slot(int32_t num_groups) : pages(static_cast<size_t>(num_groups)) {}
    bool open = false;
    SequenceId sequence = 0;
    std::vector<std::vector<PageRef>> pages;  // by group
  };
  Slot& at(int32_t slot, bool open, const char* action);

  std::vector<Slot> slots_;
  uint64_t digest_ = 0;
};

}  // namespace terrace
