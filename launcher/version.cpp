#include "launcher/version.h"

namespace terrace {

std::string version_text() { return "terrace " TERRACE_VERSION; }

}  // namespace terrace
