// Does a chat template itself go through the parts of a message's content, or does it expect a string? Pure function.
#pragma once

#include "runtime/text/jinja/ast.h"

namespace terrace {

// True where the template loops over, filters, or indexes (`content[0].text`) a message's `content`: directly, by a
// variable set from it, or by a variable or macro parameter that is named content.
bool reads_content_parts(const jinja::Template& tree);

}  // namespace terrace
