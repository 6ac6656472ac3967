#include <cstdio>

#include "launcher/version.h"

int main() {
  std::puts(terrace::version_text().c_str());
  return 0;
}
