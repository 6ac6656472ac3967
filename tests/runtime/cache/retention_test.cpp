// What every retention policy keeps to, and LRU against a plain model of itself.
#include "runtime/cache/retention.h"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <tuple>

#include "kernels/base/error.h"

namespace terrace {
namespace {

class RetentionTest : public testing::TestWithParam<std::string> {
 protected:
  void insert(PageId page, PageId parent, int32_t depth, int64_t now, int32_t priority = 0) {
    policy_->insert(page, {.parent = parent, .depth = depth, .priority = priority, .key = page + 1, .request = {}}, now);
  }
  std::unique_ptr<RetentionPolicy> policy_ = make_retention_policy(GetParam());
};

TEST_P(RetentionTest, GivesUpNothingWhereNothingIs) { EXPECT_EQ(policy_->victim(), std::nullopt); }

TEST_P(RetentionTest, GivesUpAChainFromItsEnd) {
  for (PageId page = 0; page < 5; ++page) insert(page, page == 0 ? kNoPage : page - 1, static_cast<int32_t>(page), 1);
  for (PageId page = 0; page < 4; ++page) policy_->hit(page, 9 - page);  // the root is used most
  for (PageId page = 5; page-- > 0;) {
    ASSERT_EQ(policy_->victim(), page);
    policy_->erase(page);
  }
}

TEST_P(RetentionTest, PagesOfUseAloneGoInOrderOfPositionAndBeforeAChainsEnd) {
  for (int32_t depth = 0; depth < 3; ++depth) {
    policy_->insert(static_cast<PageId>(depth), {.parent = kNoPage, .depth = depth, .key = static_cast<uint64_t>(depth) + 1, .request = {}, .alone = true}, 1);
  }
  insert(3, kNoPage, 0, 1);
  insert(4, 3, 1, 1);
  for (const PageId page : {0, 1, 2, 4, 3}) {
    ASSERT_EQ(policy_->victim(), page);
    policy_->erase(page);
  }
}

TEST_P(RetentionTest, AParentThatComesAfterItsChildIsNoLeaf) {
  insert(1, 0, 1, 1);
  insert(0, kNoPage, 0, 2);
  EXPECT_EQ(policy_->victim(), PageId{1});
  policy_->erase(1);
  EXPECT_EQ(policy_->victim(), PageId{0});
}

TEST_P(RetentionTest, APinnedPageStaysUntilItsLastPinIsGone) {
  insert(0, kNoPage, 0, 1);
  policy_->pin(0);
  policy_->pin(0);
  policy_->unpin(0);
  EXPECT_EQ(policy_->victim(), std::nullopt);
  policy_->unpin(0);
  EXPECT_EQ(policy_->victim(), PageId{0});
}

TEST_P(RetentionTest, APinnedChildKeepsItsParent) {
  insert(0, kNoPage, 0, 1);
  insert(1, 0, 1, 1);
  policy_->pin(1);
  EXPECT_EQ(policy_->victim(), std::nullopt);
}

TEST_P(RetentionTest, LowerPriorityGoesFirst) {
  insert(0, kNoPage, 0, 1, 5);
  insert(1, kNoPage, 0, 2, -1);
  insert(2, kNoPage, 0, 3, 0);
  for (int64_t now = 4; now < 9; ++now) policy_->hit(1, now);
  for (const PageId page : {PageId{1}, PageId{2}, PageId{0}}) {
    ASSERT_EQ(policy_->victim(), page);
    policy_->erase(page);
  }
}

TEST_P(RetentionTest, APriorityMayChangeWhileThePageIsThere) {
  insert(0, kNoPage, 0, 1);
  insert(1, kNoPage, 0, 2);
  insert(2, kNoPage, 0, 3);
  policy_->set_priority(0, 9);
  EXPECT_EQ(policy_->victim(), PageId{1});
  policy_->set_priority(2, -1);
  EXPECT_EQ(policy_->victim(), PageId{2});
}

TEST_P(RetentionTest, ALeafOfHighPriorityKeepsWhatItStandsOn) {
  insert(0, kNoPage, 0, 1, 0);
  insert(1, 0, 1, 1, 50);
  insert(2, kNoPage, 0, 2, 10);
  EXPECT_EQ(policy_->victim(), PageId{2});
  policy_->erase(2);
  EXPECT_EQ(policy_->victim(), PageId{1}) << "the chain's end, whatever its priority";
}

TEST_P(RetentionTest, AnIdThatComesBackHasNothingOfThePageBefore) {
  insert(0, kNoPage, 0, 1, 7);
  policy_->pin(0);
  policy_->erase(0);
  insert(0, kNoPage, 0, 2);
  EXPECT_EQ(policy_->victim(), PageId{0});
}

/// The pages of a tier as anyone would write them down; says whether a victim may go.
struct Book {
  struct Page {
    PageTraits traits;
    int64_t used = 0;
    int pins = 0;
  };
  std::map<PageId, Page> pages;

  bool may_go(PageId page) const {
    const auto names_it = [page](const auto& other) { return other.second.traits.parent == page; };
    return pages.at(page).pins == 0 && std::ranges::none_of(pages, names_it);
  }
  int32_t lowest_priority() const {
    int32_t lowest = INT32_MAX;
    for (const auto& [page, entry] : pages) {
      if (may_go(page)) lowest = std::min(lowest, entry.traits.priority);
    }
    return lowest;
  }
  std::optional<PageId> least_recent() const {
    std::optional<PageId> first;
    const auto rank = [this](PageId page) {
      const Page& entry = pages.at(page);
      return std::tuple(entry.traits.priority, entry.used, -entry.traits.depth, page);
    };
    for (const auto& [page, entry] : pages) {
      if (may_go(page) && (!first || rank(page) < rank(*first))) first = page;
    }
    return first;
  }
};

/// Random chains of up to 24 pages; calls `check` with the book before each victim is taken. Returns the victims.
std::vector<PageId> play(RetentionPolicy& policy, uint64_t seed,
                         const std::function<void(const Book&, std::optional<PageId>)>& check) {
  std::mt19937_64 random(seed);
  Book book;
  std::vector<PageId> victims;
  for (int64_t now = 0; now < 3000; ++now) {
    const auto page = static_cast<PageId>(random() % 24);
    const auto found = book.pages.find(page);
    const auto parent = static_cast<PageId>(random() % 24);
    if (found == book.pages.end()) {
      const bool named =
          std::ranges::any_of(book.pages, [page](const auto& other) { return other.second.traits.parent == page; });
      if (named) continue;
      const auto above = book.pages.find(parent);
      const bool root = above == book.pages.end() || random() % 3 == 0;
      const PageTraits traits = {.parent = root ? kNoPage : parent,
                                 .depth = root ? 0 : above->second.traits.depth + 1,
                                 .priority = static_cast<int32_t>(random() % 2),
                                 .key = random() % 64,
                                 .request = {}};
      policy.insert(page, traits, now);
      book.pages[page] = {traits, now, 0};
    } else if (random() % 3 == 0) {
      policy.hit(page, now);
      found->second.used = now;
    } else if (random() % 2 == 0) {
      policy.pin(page);
      ++found->second.pins;
    } else if (found->second.pins > 0) {
      policy.unpin(page);
      --found->second.pins;
    }
    if (random() % 4 == 0 && book.pages.contains(page)) policy.ended(page, {static_cast<int32_t>(random() % 4), static_cast<int32_t>(random() % 600)});
    if (random() % 3 != 0) continue;
    const std::optional<PageId> victim = policy.victim();
    check(book, victim);
    if (!victim) continue;
    victims.push_back(*victim);
    policy.erase(*victim);
    book.pages.erase(*victim);
  }
  return victims;
}

TEST_P(RetentionTest, VictimsAreUnpinnedLeavesOfTheLowestPriority) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto policy = make_retention_policy(GetParam());
    play(*policy, seed, [](const Book& book, std::optional<PageId> victim) {
      ASSERT_EQ(victim.has_value(), book.least_recent().has_value());
      if (!victim) return;
      ASSERT_TRUE(book.pages.contains(*victim));
      EXPECT_TRUE(book.may_go(*victim));
      EXPECT_EQ(book.pages.at(*victim).traits.priority, book.lowest_priority());
    });
  }
}

TEST_P(RetentionTest, TheSameCallsGiveTheSameVictims) {
  const auto other = make_retention_policy(GetParam());
  const auto ignore = [](const Book&, std::optional<PageId>) {};
  EXPECT_EQ(play(*policy_, 7, ignore), play(*other, 7, ignore));
}

INSTANTIATE_TEST_SUITE_P(Policies, RetentionTest, testing::ValuesIn(retention_policy_names()),
                         [](const auto& policy) { return policy.param; });

TEST(LruRetentionTest, IsLeastRecentlyUsedByTheBook) {
  for (uint64_t seed = 100; seed < 120; ++seed) {
    const auto policy = make_retention_policy("lru");
    play(*policy, seed, [](const Book& book, std::optional<PageId> victim) { ASSERT_EQ(victim, book.least_recent()); });
  }
}

TEST(RetentionPolicyTest, AnUnknownNameIsRefusedWithThoseThereAre) {
  try {
    make_retention_policy("fifo");
    FAIL() << "it was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("lru"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
