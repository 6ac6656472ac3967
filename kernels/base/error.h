// The one exception type of terrace: a code that programs read and a sentence that people read.
// Shortage (no free page, full queue) is not an error: functions that may run short return std::optional (LAW 5).
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace terrace {

/// Stable codes, also the API's `error.code`. Names by error_code_name().
enum class ErrorCode {
  kInternal,          // a bug in terrace
  kInvalidValue,      // a value the user gave is wrong
  kUnknownKey,        // a config key or request field that does not exist
  kModelCorrupt,      // the model file contradicts itself or ends early
  kModelUnsupported,  // the model file is fine, but terrace cannot run it
  kOutOfMemory,
  kRankLost,      // another rank died or aborted
  kPlanMismatch,  // a rank's page tables differ from rank 0's (LAW 1)
  kIoError,
  kCancelled,
  kOverloaded,
};

/// snake_case name of a code, e.g. "model_corrupt".
std::string_view error_code_name(ErrorCode code);

/// Process exit code for an error (README, "Exit codes"): 1 internal, 2 usage/config/input, 3 model or file, 4 resources,
/// 5 output, network or port, 6 rank lost or aborted.
int exit_code(ErrorCode code);

class Error : public std::exception {
 public:
  /// `message` is a sentence that names the thing, the place and the way out.
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

}  // namespace terrace
