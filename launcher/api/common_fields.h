// What requests to every endpoint may say beside what they ask: when they go, and how the cache keeps what they leave. Pure.
#pragma once

#include <cstdint>

#include "launcher/api/field_reader.h"
#include "runtime/request.h"

namespace terrace {

/// Of a served request.
struct Queueing {
  int32_t priority = 0;        // the smaller goes first
  double timeout_seconds = 0;  // to its last token; 0: none
};

// They throw ApiError(400).
Queueing read_queueing(FieldReader& fields);
void read_cache_fields(FieldReader& fields, Request& request);

}  // namespace terrace
