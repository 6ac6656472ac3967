// `terrace top`: the figures of a running server in a terminal, redrawn each second; plain lines where stdout is none.
#pragma once

#include <string>

namespace terrace {

struct TopOptions {
  std::string url;
  std::string api_key;
  double interval = 1;  // seconds
  int count = 0;        // looks; 0: until q or Ctrl-C
};

int run_top(const TopOptions& options);

}  // namespace terrace
