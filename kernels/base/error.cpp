#include "kernels/base/error.h"

namespace terrace {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal: return "internal";
    case ErrorCode::kInvalidValue: return "invalid_value";
    case ErrorCode::kUnknownKey: return "unknown_key";
    case ErrorCode::kModelCorrupt: return "model_corrupt";
    case ErrorCode::kModelUnsupported: return "model_unsupported";
    case ErrorCode::kOutOfMemory: return "out_of_memory";
    case ErrorCode::kRankLost: return "rank_lost";
    case ErrorCode::kPlanMismatch: return "plan_mismatch";
    case ErrorCode::kIoError: return "io_error";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kOverloaded: return "overloaded";
  }
  return "internal";
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidValue:
    case ErrorCode::kUnknownKey: return 2;
    case ErrorCode::kModelCorrupt:
    case ErrorCode::kModelUnsupported: return 3;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kOverloaded: return 4;
    case ErrorCode::kIoError: return 5;
    case ErrorCode::kRankLost:
    case ErrorCode::kPlanMismatch: return 6;
    case ErrorCode::kInternal:
    case ErrorCode::kCancelled: return 1;
  }
  return 1;
}

}  // namespace terrace
