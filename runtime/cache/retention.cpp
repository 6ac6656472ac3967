#include "runtime/cache/retention.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "runtime/cache/lru_retention.h"
#include "runtime/cache/reuse_retention.h"

namespace terrace {

const std::vector<std::string>& retention_policy_names() {
  static const std::vector<std::string> names = {"lru", "reuse"};
  return names;
}

std::unique_ptr<RetentionPolicy> make_retention_policy(std::string_view name) {
  if (name == "lru") return std::make_unique<LruRetention>();
  if (name == "reuse") return std::make_unique<ReuseRetention>();
  throw Error(ErrorCode::kInvalidValue, fmt::format("there is no retention policy \"{}\": it is one of {}", name,
                                                    fmt::join(retention_policy_names(), ", ")));
}

}  // namespace terrace
