#include <malloc.h>

#include "launcher/cli.h"

namespace {

// A row of logits takes hundreds of KiB, and such rows come and go with every step. Left to itself glibc maps blocks of this size anew each time, or gives
// them back at once: a page fault for every 4 KiB, a tenth of a step in which 64 rows are sampled.
void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  return terrace::run_command_line(argc, argv);
}
