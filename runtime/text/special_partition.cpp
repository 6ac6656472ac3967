#include "runtime/text/special_partition.h"

#include <algorithm>

namespace terrace {

SpecialPartition::SpecialPartition(const Vocabulary& vocabulary, std::vector<bool> strip_after)
    : strip_after_(std::move(strip_after)) {
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    const Entry entry{vocabulary.text(token), token};
    const bool user_defined = vocabulary.kind(token) == TokenKind::kUserDefined;
    if (entry.text.empty() || (!user_defined && !vocabulary.is_special(token))) continue;
    all_.add(entry);
    if (user_defined) user_defined_.add(entry);
  }
  all_.finish();
  user_defined_.finish();
}

void SpecialPartition::Matcher::add(Entry entry) {
  entries.push_back(entry);
  first_bytes[static_cast<uint8_t>(entry.text[0])] = true;
}

void SpecialPartition::Matcher::finish() {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
}

void SpecialPartition::Matcher::match(std::string_view text, std::vector<Entry>& found) const {
  auto first = entries.begin();
  auto last = entries.end();
  // [first, last) share the first `depth` bytes of the text; the one that ends there, if any, is the first of them.
  for (size_t depth = 0; depth < text.size(); ++depth) {
    const auto at_depth = [depth](const Entry& entry) {
      return static_cast<int>(static_cast<uint8_t>(entry.text[depth]));
    };
    const int byte = static_cast<uint8_t>(text[depth]);
    first = std::partition_point(first, last, [&](const Entry& entry) { return at_depth(entry) < byte; });
    last = std::partition_point(first, last, [&](const Entry& entry) { return at_depth(entry) <= byte; });
    if (first == last) return;
    if (first->text.size() == depth + 1) found.push_back(*first++);
    if (first == last) return;
  }
}

std::vector<SpecialPartition::Occurrence> SpecialPartition::find(std::string_view text, const Matcher& matcher) const {
  std::vector<Occurrence> candidates;
  std::vector<Entry> found;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!matcher.first_bytes[static_cast<uint8_t>(text[at])]) continue;
    found.clear();
    matcher.match(text.substr(at), found);
    for (const Entry& entry : found) candidates.push_back({at, entry});
  }
  if (candidates.empty()) return candidates;

  std::sort(candidates.begin(), candidates.end(), [](const Occurrence& a, const Occurrence& b) {
    const size_t a_length = a.entry.text.size();
    const size_t b_length = b.entry.text.size();
    if (a_length != b_length) return a_length > b_length;
    return a.entry.token != b.entry.token ? a.entry.token < b.entry.token : a.begin < b.begin;
  });
  std::vector<bool> taken(text.size());
  std::vector<Occurrence> chosen;
  for (const Occurrence& occurrence : candidates) {
    const size_t end = occurrence.begin + occurrence.entry.text.size();
    // Longer ones came first, so what overlaps this one covers one of its ends.
    if (taken[occurrence.begin] || taken[end - 1]) continue;
    std::fill(taken.begin() + static_cast<std::ptrdiff_t>(occurrence.begin),
              taken.begin() + static_cast<std::ptrdiff_t>(end), true);
    chosen.push_back(occurrence);
  }
  std::sort(chosen.begin(), chosen.end(), [](const Occurrence& a, const Occurrence& b) { return a.begin < b.begin; });
  return chosen;
}

std::vector<TextFragment> SpecialPartition::split(std::string_view text, bool parse_special) const {
  std::vector<TextFragment> fragments;
  size_t done = 0;
  for (const auto& [begin, entry] : find(text, parse_special ? all_ : user_defined_)) {
    if (done < begin) fragments.push_back({text.substr(done, begin - done)});
    fragments.push_back({entry.text, entry.token});
    done = std::max(done, begin + entry.text.size());
    if (!strip_after_.empty() && strip_after_[static_cast<size_t>(entry.token)]) {
      done = std::min(text.find_first_not_of(" \t\n\v\f\r", done), text.size());
    }
  }
  if (done < text.size()) fragments.push_back({text.substr(done)});
  return fragments;
}

}  // namespace terrace
