// What `terrace --version` prints.
#pragma once

#include <string>

namespace terrace {

std::string version_text();

}  // namespace terrace
