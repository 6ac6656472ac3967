// A recorded series of prompts as chains of pages: what the cache simulator plays. Immutable once read, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace terrace {

inline constexpr uint32_t kTraceRoot = 0xFFFFFFFFu;

/// Pages are numbered as they first appear. One page has one parent, so equal numbers mean equal prefixes.
struct CacheTrace {
  std::vector<std::vector<uint32_t>> rows;  // a prompt's pages, root first
  std::vector<int32_t> answers;             // tokens of each row's answer; -1: not recorded
  std::vector<uint32_t> parents;            // of each page; kTraceRoot for a first one
  int64_t num_page_uses = 0;                // over all rows

  /// Adds a prompt whose page `i` is named by ids[i], within what stands before it.
  void add(const std::vector<int64_t>& ids, int32_t answer_tokens = -1);

 private:
  struct Name {
    uint32_t parent;
    int64_t id;
    bool operator==(const Name&) const = default;
  };
  struct NameHash {
    size_t operator()(const Name& name) const {
      return static_cast<size_t>(name.id) * 0x9E3779B97F4A7C15u ^ name.parent * 0xC2B2AE3D27D4EB4Fu;
    }
  };
  std::unordered_map<Name, uint32_t, NameHash> numbers_;
};

/// JSON lines with a member hash_ids each and perhaps an output_length, as Mooncake's traces have it; other members and blank lines are passed over.
/// Throws kInvalidValue with the name of the file and the line's number.
CacheTrace read_cache_trace(const std::string& path);

}  // namespace terrace
