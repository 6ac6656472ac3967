#include "tests/cudasim/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/leaks.h"

namespace cudasim {
namespace {

constexpr int kFindingsExit = 86;
constexpr int kUnsupportedExit = 87;
constexpr size_t kMaxPrinted = 50;

struct Findings {
  std::mutex mutex;
  std::vector<std::string> sentences;
};

Findings& findings() {
  static auto& findings = *new Findings;
  return findings;
}

std::atomic<uint64_t> calls{0};
std::atomic<Checker*> installed_checker{nullptr};

void print_statistics() {
  for (int i = 0; i < settings().num_devices; ++i) {
    Device* device = existing_device(i);
    if (device == nullptr) continue;
    for (const auto& [name, one] : device->statistics) {
      fmt::print(stderr, "cudasim: device {} {}: {} launches, {} blocks, {} switches, {} collectives, {} ldmatrix phases with {} bank conflicts\n", i, name, one.launches, one.blocks,
                 one.switches, one.collectives, one.ldmatrix_phases, one.ldmatrix_conflicts);
    }
  }
}

void at_exit() {
  if (settings().count_calls) fmt::print(stderr, "cudasim: {} API calls\n", calls.load());
  if (settings().statistics) print_statistics();
  size_t count = num_findings();
  if (settings().leaks) count += print_leaks();
  if (count == 0) return;
  fmt::print(stderr, "cudasim: {} findings\n", count);
  std::fflush(nullptr);
  _exit(kFindingsExit);
}

}  // namespace

void register_exit_report() {
  static const bool registered = std::atexit(at_exit) == 0;
  (void)registered;
}

void report(const std::string& sentence) {
  std::string line = sentence;
  if (current_lane != nullptr) {
    const Lane& lane = *current_lane;
    line += fmt::format(" [kernel {}, block ({},{},{}), thread ({},{},{})]", current_block->kernel->image->name, lane.block.x, lane.block.y, lane.block.z, lane.thread.x, lane.thread.y,
                        lane.thread.z);
  }
  if (settings().driver && settings().num_devices > 0) (current_block != nullptr ? *current_block->device : current_device()).sticky = cudaErrorLaunchFailure;
  register_exit_report();
  Findings& all = findings();
  const std::lock_guard lock(all.mutex);
  all.sentences.push_back(line);
  if (all.sentences.size() <= kMaxPrinted) fmt::print(stderr, "cudasim: ERROR {}\n", line);
}

size_t num_findings() {
  const std::lock_guard lock(findings().mutex);
  return findings().sentences.size();
}

std::vector<std::string> take_findings() {
  for (int i = 0; i < settings().num_devices; ++i) {
    if (Device* device = existing_device(i)) {
      const std::lock_guard lock(device->mutex);
      device->run_all();  // skipped where the device has failed
      device->sticky = cudaSuccess;
      device->history.clear();
    }
  }
  const std::lock_guard lock(findings().mutex);
  return std::exchange(findings().sentences, {});
}

void unsupported(const std::string& sentence) {
  fmt::print(stderr, "cudasim: UNSUPPORTED {}\n", sentence);
  std::fflush(nullptr);
  _exit(kUnsupportedExit);
}

bool call_fails(const char* function) {
  register_exit_report();
  const uint64_t number = ++calls;
  if (number != settings().fail_call) return false;
  fmt::print(stderr, "cudasim: call {} ({}) fails because CUDASIM_FAIL_CALL asks for it\n", number, function);
  return true;
}

uint64_t num_api_calls() { return calls; }

void install_checker(Checker* one) { installed_checker = one; }
Checker* checker() { return installed_checker.load(std::memory_order_relaxed); }

}  // namespace cudasim
