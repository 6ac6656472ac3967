// Messages for people, on stderr, one whole line a call, prefixed with the rank where there are several.
// Any thread. stdout is never touched: it belongs to results.
#pragma once

#include <string_view>

namespace terrace {

enum class LogLevel { kInfo, kWarning, kError };

/// Sets the prefix ("[rank 1] "). Call before threads start.
void set_log_prefix(std::string_view prefix);

void log_line(LogLevel level, std::string_view message);
inline void log_info(std::string_view message) { log_line(LogLevel::kInfo, message); }
inline void log_warning(std::string_view message) { log_line(LogLevel::kWarning, message); }
inline void log_error(std::string_view message) { log_line(LogLevel::kError, message); }

}  // namespace terrace
