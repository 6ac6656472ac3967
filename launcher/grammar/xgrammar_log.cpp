#include "launcher/grammar/xgrammar_log.h"

#include <string_view>
#include <utility>

#include "kernels/base/error.h"

namespace {

thread_local std::vector<std::string> warnings;  // xgrammar hands no context to its log

}  // namespace

namespace terrace {

std::vector<std::string> take_xgrammar_warnings() { return std::exchange(warnings, {}); }

}  // namespace terrace

// Declared by xgrammar's cpp/support/logging.h under XGRAMMAR_LOG_CUSTOMIZE.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int lineno, const std::string& message);
void LogMessageImpl(const std::string& file, int lineno, int level, const std::string& message);

void LogFatalImpl(const std::string&, int, const std::string& message) {
  // "Check failed: (condition) is false: what is wrong"
  constexpr std::string_view kBefore = " is false: ";
  const size_t at = message.starts_with("Check failed: ") ? message.find(kBefore) : std::string::npos;
  throw terrace::Error(terrace::ErrorCode::kInvalidValue, at == std::string::npos ? message : message.substr(at + kBefore.size()));
}

void LogMessageImpl(const std::string&, int, int level, const std::string& message) {
  constexpr int kWarning = 2;
  if (level == kWarning) warnings.push_back(message);
}

}  // namespace xgrammar
