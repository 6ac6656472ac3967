// Which page a full tier gives up next: one policy object a tier, on rank 0. Ids only, step thread only.
//
// A chain never loses its middle: a page with children in the same tier is never the victim. Ties are broken by id, so
// that the same calls give the same victims on every run. Pages of use alone (of a window) are no chains.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

using PageId = uint32_t;  // a cached page, dense; reused after the page is gone from all tiers
inline constexpr PageId kNoPage = 0xFFFFFFFFu;

inline constexpr int32_t kDefaultPriority = 35;  // of 0 to 100, as in TensorRT-LLM's retention of KV blocks

/// What a policy may know of the request that used a page last, once it has ended.
struct EndedRequest {
  int32_t prompt_pages = 0;    // full ones and the last
  int32_t answer_tokens = -1;  // -1: it has not ended, or nothing is known of it
};

struct PageTraits {
  PageId parent = kNoPage;  // the page before it in its chain
  int32_t depth = 0;        // pages before it
  int32_t priority = 0;     // lower ones go first
  uint64_t key = 0;         // PageKey::low: by it a policy knows a page again that it gave up. 0: unknown
  EndedRequest request;     // that used it last
  bool alone = false;       // of use without the pages before it: the parent is kNoPage
};

class RetentionPolicy {
 public:
  virtual ~RetentionPolicy() = default;
  /// The page has come into this tier (its parent may or may not be there). `now`: the step; never goes back. An id
  /// means another page only after the pages that name it as their parent have gone from this tier.
  virtual void insert(PageId page, const PageTraits& traits, int64_t now) = 0;
  /// Its pins go with it.
  virtual void erase(PageId page) = 0;
  /// A request has found the page: root first, and before it inserts what it did not find.
  virtual void hit(PageId page, int64_t now) = 0;
  /// A request that has used the page has ended, by itself or not.
  virtual void ended(PageId, const EndedRequest&) {}
  virtual void set_priority(PageId page, int32_t priority) = 0;
  /// A pinned page is in use and never the victim; pins count.
  virtual void pin(PageId page) = 0;
  virtual void unpin(PageId page) = 0;
  /// The page to give up next; it stays until erase(). nullopt: all are pinned, or have a child that is.
  virtual std::optional<PageId> victim() = 0;
};

const std::vector<std::string>& retention_policy_names();

/// "lru" or the name of another policy; kInvalidValue for an unknown one, naming those there are.
std::unique_ptr<RetentionPolicy> make_retention_policy(std::string_view name);

}  // namespace terrace
