// What xgrammar has to say, instead of on stderr: warnings are kept for whoever compiles on this thread, fatal ones are Errors.
#pragma once

#include <string>
#include <vector>

namespace terrace {

/// The warnings of this thread since the last call.
std::vector<std::string> take_xgrammar_warnings();

}  // namespace terrace
