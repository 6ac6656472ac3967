#include "tests/cudasim/fault.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/memory_map.h"
#include "tests/cudasim/pinned_guard.h"

namespace cudasim {
namespace {

struct sigaction previous_segv, previous_bus;

[[noreturn]] void stop(const std::string& sentence) {
  const std::string line = "cudasim: ERROR " + sentence + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
  _exit(87);
}

bool on_some_heap(const void* address) {
  for (int i = 0; i < settings().num_devices; ++i) {
    const Device* device = existing_device(i);
    if (device != nullptr && device->heap.contains(address)) return true;
  }
  return false;
}

// Formats in a signal handler: the process is about to end, and the fault came from ordinary code of this thread.
void on_fault(int number, siginfo_t* info, void* context) {
  const void* address = info->si_addr;
  const std::string place = describe_address(address);
  if (current_lane != nullptr) {
    const Lane& lane = *current_lane;
    std::string ignored;
    if (PinnedGuard::get().on_fault(address, true, ignored)) return;
    stop(fmt::format("kernel {} touches {} [block ({},{},{}) thread ({},{},{})]", current_block->kernel->image->name, place, lane.block.x, lane.block.y, lane.block.z, lane.thread.x,
                     lane.thread.y, lane.thread.z));
  }
  if (on_some_heap(address)) stop(fmt::format("{} touches device memory: {}", in_operation() ? "a library call" : "host code", place));
  std::string sentence;
  if (PinnedGuard::get().on_fault(address, in_operation(), sentence)) return;
  if (!sentence.empty()) stop(sentence);
  // Not ours: let the access fault again under the handler that was there before.
  sigaction(number, number == SIGSEGV ? &previous_segv : &previous_bus, nullptr);
  (void)context;
}

}  // namespace

void install_fault_handler() {
  static const bool installed = [] {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
    return true;
  }();
  (void)installed;
}

}  // namespace cudasim
