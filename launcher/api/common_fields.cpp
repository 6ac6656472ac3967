#include "launcher/api/common_fields.h"

namespace terrace {

Queueing read_queueing(FieldReader& fields) {
  constexpr int64_t kMost = 1 << 20;
  Queueing queueing;
  queueing.priority = static_cast<int32_t>(fields.integer("priority", -kMost, kMost).value_or(0));
  queueing.timeout_seconds = fields.number("timeout", 0, 1e6).value_or(0);
  return queueing;
}

void read_cache_fields(FieldReader& fields, Request& request) {
  request.cache_salt = fields.string("cache_salt").value_or("");
  request.cache_priority = static_cast<int32_t>(fields.integer("cache_priority", 0, 100).value_or(kDefaultPriority));
}

}  // namespace terrace
