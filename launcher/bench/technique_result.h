// What one technique is worth, as `terrace bench techniques` shows it. Plain data.
#pragma once

#include <string>
#include <vector>

#include "launcher/bench/text_table.h"

namespace terrace {

struct TechniqueResult {
  std::string name;      // "KV cache"
  std::string claim;     // what is usually said, and where
  std::string measured;  // the figure to hold against it
  TextTable table;       // all figures
  std::string note;      // what was done
};

}  // namespace terrace
