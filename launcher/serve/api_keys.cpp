#include "launcher/serve/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/ascii_case.h"

namespace terrace {
namespace {

constexpr std::string_view kBearer = "bearer ";

// Looks at every byte whatever it finds, so that the time tells nothing of where two differ.
bool equal_in_constant_time(std::string_view given, std::string_view key) {
  size_t difference = given.size() ^ key.size();
  for (size_t i = 0; i < given.size(); ++i) difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
  return difference == 0;
}

std::optional<int32_t> number_after(std::string_view word, std::string_view name) {
  if (!word.starts_with(name)) return std::nullopt;
  word.remove_prefix(name.size());
  int32_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number < 1) return std::nullopt;
  return number;
}

}  // namespace

ApiKeys ApiKeys::parse(std::string_view text, std::string_view origin) {
  ApiKeys result;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    const auto fail = [&](std::string_view what) {
      throw Error(ErrorCode::kInvalidValue, fmt::format("{}:{}: {}; a line is NAME KEY [max_running=N] [per_minute=N]", origin, number, what));
    };
    Key key;
    if (!(words >> key.name) || key.name.starts_with('#')) continue;
    if (!(words >> key.key)) fail("a name without a key");
    for (std::string word; words >> word;) {
      if (const auto running = number_after(word, "max_running=")) {
        key.max_running = *running;
      } else if (const auto rate = number_after(word, "per_minute=")) {
        key.per_minute = *rate;
      } else {
        fail("an option that is not known, or not a number from 1 on");
      }
    }
    if (std::ranges::find(result.keys_, key.name, &Key::name) != result.keys_.end()) fail("a name that was there before");
    auto use = std::make_unique<Use>();
    use->tokens = key.per_minute;
    result.keys_.push_back(std::move(key));
    result.uses_.push_back(std::move(use));
  }
  if (result.empty()) throw Error(ErrorCode::kInvalidValue, fmt::format("{} holds no key: nobody could ask anything", origin));
  return result;
}

ApiKeys ApiKeys::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::kInvalidValue, fmt::format("server.api_keys: {} cannot be read", path));
  return parse(std::string(std::istreambuf_iterator<char>(file), {}), path);
}

std::optional<std::string> ApiKeys::name_of(std::string_view authorization) const {
  if (keys_.empty()) return "anonymous";
  const bool bearer = authorization.size() > kBearer.size() && equal_ignoring_case(authorization.substr(0, kBearer.size()), kBearer);
  if (!bearer) return std::nullopt;
  const std::string_view given = authorization.substr(kBearer.size());
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    if (equal_in_constant_time(given, key.key)) found = &key;
  }
  return found == nullptr ? std::nullopt : std::optional(found->name);
}

ApiKeys::Admission ApiKeys::admit(const std::string& name, int64_t now_us) {
  const auto found = std::ranges::find(keys_, name, &Key::name);
  if (found == keys_.end()) return {};
  Use& use = *uses_[static_cast<size_t>(found - keys_.begin())];
  if (found->per_minute > 0) {
    const std::lock_guard lock(use.mutex);
    use.tokens = std::min<double>(found->per_minute, use.tokens + static_cast<double>(now_us - use.at_us) * found->per_minute / 60e6);
    use.at_us = now_us;
    if (use.tokens < 1) throw ApiError(429, fmt::format("the key '{}' may send {} requests a minute", name, found->per_minute), "", "rate_limit_exceeded");
    use.tokens -= 1;
  }
  if (use.running.fetch_add(1) >= found->max_running && found->max_running > 0) {
    use.running.fetch_sub(1);
    throw ApiError(429, fmt::format("the key '{}' may have {} requests at a time", name, found->max_running), "", "rate_limit_exceeded");
  }
  return Admission(&use.running);
}

}  // namespace terrace
