#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include "launcher/cli.h"

namespace {

// A row of logits takes hundreds of KiB, and such rows come and go with every step. Left to itself glibc maps blocks of this size anew each time, or gives
// them back at once: a page fault for every 4 KiB, a tenth of a step in which 64 rows are sampled.
void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

// Model files and a batch's input are mapped: reading what is no longer there is a signal, not an error that anyone could catch.
void say_when_a_file_shrinks() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    constexpr char kSentence[] = "error: a file that is mapped here (the model, a batch's input, the disk tier's) was shortened, or its disk failed: replace such files by renaming others over them\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kSentence, sizeof(kSentence) - 1);
    ::_exit(3);
  };
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  say_when_a_file_shrinks();
  return terrace::run_command_line(argc, argv);
}
