#include "tests/cudasim/scheduler.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>

#include "tests/cudasim/device_state.h"

// All __shared__ variables of the kernels linked with this library; absent where there are none.
extern "C" {
extern unsigned char cudasim_shared_begin[] __asm__("__start_cudasim_shared") __attribute__((weak, visibility("hidden")));
extern unsigned char cudasim_shared_end[] __asm__("__stop_cudasim_shared") __attribute__((weak, visibility("hidden")));
}

namespace cudasim {

thread_local constinit Lane* current_lane = nullptr;
thread_local constinit Block* current_block = nullptr;
thread_local constinit Scheduler* Scheduler::running_ = nullptr;

namespace {

constexpr size_t kSharedAlignment = 128;
constexpr unsigned char kPoison = 0xff;

size_t round_up(size_t value, size_t alignment) { return (value + alignment - 1) / alignment * alignment; }

// Kernels in C++ of all devices share their __shared__ variables.
std::mutex& shared_variables() {
  static std::mutex mutex;
  return mutex;
}

bool same_site(CallSite a, CallSite b) { return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0); }

}  // namespace

bool in_shared_memory(const void* address, size_t bytes) {
  if (current_block->shared.contains(address, bytes)) return true;
  return kAsan && current_block->kernel->image->ptx == nullptr && find_allocation(address, bytes).kind == MemoryKind::kUnknown;
}

Scheduler& Scheduler::of_this_thread() {
  thread_local Scheduler scheduler;
  return scheduler;
}

Scheduler::Scheduler() : lanes_(kMaxLanes), fibers_(kMaxLanes), gatherings_(kMaxLanes / kWarpLanes) {
  void* memory = mmap(nullptr, kMaxLanes * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) unsupported("no address space for the lanes' stacks");
  stacks_ = static_cast<unsigned char*>(memory);
  for (int i = 0; i < kMaxLanes; ++i) lanes_[static_cast<size_t>(i)].stack = stacks_ + static_cast<size_t>(i) * kStackBytes;
}

Scheduler::~Scheduler() { munmap(stacks_, kMaxLanes * kStackBytes); }

Random& Scheduler::random() { return device_random(*block_.device); }

void Scheduler::run(Device& device, const Kernel& kernel, KernelStatistics& statistics) {
  static std::atomic<uint64_t> launches{0};
  const PtxKernel* ptx = kernel.image->ptx;
  std::unique_lock<std::mutex> alone(shared_variables(), std::defer_lock);
  if (ptx == nullptr) alone.lock();
  running_ = this;
  order_ = settings().order;
  statistics_ = &statistics;
  ++statistics.launches;
  abandoned_ = false;
  block_ = {};
  block_.device = &device;
  block_.kernel = &kernel;
  block_.launch_id = ++launches;
  block_.lanes = &lanes_;
  block_.num_lanes = static_cast<int>(kernel.block.x * kernel.block.y * kernel.block.z);

  // Exactly the bytes asked for end where the poison of AddressSanitizer begins.
  const size_t fixed = ptx != nullptr ? round_up(ptx->static_shared_bytes, kSharedAlignment) : 0;
  const size_t total = fixed + kernel.dynamic_shared_bytes;
  shared_.resize(round_up(total, kSharedAlignment) + 2 * kSharedAlignment);
  unpoison_memory(shared_.data(), shared_.size());
  auto* window = reinterpret_cast<unsigned char*>(round_up(reinterpret_cast<uintptr_t>(shared_.data()), kSharedAlignment));
  block_.shared = {window, window + (ptx != nullptr ? ptx->static_shared_bytes : 0), window + fixed, window + total};
  if (ptx == nullptr) block_.shared.static_begin = cudasim_shared_begin, block_.shared.static_end = cudasim_shared_end;
  poison_memory(window + total, static_cast<size_t>(shared_.data() + shared_.size() - (window + total)));

  current_block = &block_;
  const dim3 grid = kernel.grid;
  for (const uint32_t linear : block_order(size_t{grid.x} * grid.y * grid.z)) {
    run_block(linear);
    if (abandoned_) break;
  }
  current_block = nullptr;
  unpoison_memory(shared_.data(), shared_.size());
}

std::vector<uint32_t> Scheduler::block_order(size_t count) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (order_ == Settings::Order::kReverse) std::reverse(order.begin(), order.end());
  if (order_ >= Settings::Order::kRandom) {
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random().below(static_cast<uint32_t>(i))]);
  }
  return order;
}

void Scheduler::run_block(uint32_t linear) {
  static std::atomic<uint64_t> blocks{0};
  ++statistics_->blocks;
  block_.block_id = ++blocks;
  block_.linear = linear;
  block_.epoch = 1;
  for (auto [begin, end] : {std::pair(block_.shared.static_begin, block_.shared.static_end), std::pair(block_.shared.dynamic_begin, block_.shared.dynamic_end)}) {
    if (begin != end) std::memset(begin, kPoison, static_cast<size_t>(end - begin));
  }
  set_up_lanes(linear);
  if (checker() != nullptr) checker()->on_block_begin(block_);
  Lane* first = pick();
  current_lane = first;
  switch_fiber(host_, fibers_[static_cast<size_t>(first->id)]);
  current_lane = nullptr;
  if (checker() != nullptr) checker()->on_block_end(block_);
  if (abandoned_) unpoison_memory(stacks_, kMaxLanes * kStackBytes);
}

void Scheduler::set_up_lanes(uint32_t linear) {
  const dim3 grid = block_.kernel->grid, size = block_.kernel->block;
  num_done_ = 0;
  barriers_.fill({});
  for (auto& gatherings : gatherings_) gatherings.clear();
  ready_.clear();
  for (int i = 0; i < block_.num_lanes; ++i) {
    Lane& lane = lanes_[static_cast<size_t>(i)];
    const auto id = static_cast<uint32_t>(i);
    lane.thread = {id % size.x, id / size.x % size.y, id / (size.x * size.y)};
    lane.block = {linear % grid.x, linear / grid.x % grid.y, linear / (grid.x * grid.y)};
    lane.id = i, lane.warp = i / kWarpLanes, lane.index = i % kWarpLanes;
    lane.state = LaneState::kReady;
    lane.site = {};
    lane.clock = 1;
    std::fill(std::begin(lane.seen), std::end(lane.seen), 0u);
    lane.loaded_from = nullptr;
    lane.copies.clear();
    lane.groups = 0;
    // Without the skew the tops of all stacks fall into one set of the cache.
    make_fiber(fibers_[static_cast<size_t>(i)], lane.stack, kStackBytes, static_cast<size_t>(i % 64) * 960 / 64 * 64, lane_main);
    ready_.push_back(order_ == Settings::Order::kReverse ? i : block_.num_lanes - 1 - i);
  }
}

void Scheduler::lane_main() {
  Scheduler& self = running();
  fiber_started(self.host_);
  const Kernel& kernel = *self.block_.kernel;
  if (kernel.image->ptx != nullptr) {
    kernel.image->ptx->run(kernel.params.data());
  } else {
    void* args[64];
    for (size_t i = 0; i < kernel.image->offsets.size(); ++i) args[i] = const_cast<unsigned char*>(kernel.params.data()) + kernel.image->offsets[i];
    kernel.image->description.call(kernel.image->function, args);
  }
  self.lane_exits();
}

void Scheduler::lane_exits() {
  Lane& lane = *current_lane;
  if (!lane.copies.empty()) cp_async_wait_all();
  lane.state = LaneState::kDone;
  ++num_done_;
  for (const Gathering& waiting : gatherings(lane.warp)) {
    if (waiting.mask >> lane.index & 1) lane_trap("a lane exits while its warp waits for it in a collective", waiting.site);
  }
  for (int id = 0; id < static_cast<int>(barriers_.size()); ++id) {
    const NamedBarrier& barrier = barriers_[static_cast<size_t>(id)];
    if (barrier.arrived > 0 && barrier.expected == 0 && barrier.arrived + num_done_ == block_.num_lanes) release(id);
  }
  give_up_control(true);
  __builtin_unreachable();
}

Lane* Scheduler::lanes_of_warp(int warp, int& count) {
  count = std::min(kWarpLanes, block_.num_lanes - warp * kWarpLanes);
  return &lanes_[static_cast<size_t>(warp * kWarpLanes)];
}

Lane* Scheduler::pick() {
  if (ready_.empty()) return nullptr;
  size_t chosen = ready_.size() - 1;
  if (order_ == Settings::Order::kRandom) chosen = random().below(static_cast<uint32_t>(ready_.size()));
  if (order_ == Settings::Order::kWarpFirst && current_lane != nullptr) {
    const auto same_warp = [&](int id) { return id / kWarpLanes == current_lane->warp; };
    const auto found = std::find_if(ready_.begin(), ready_.end(), same_warp);
    if (found != ready_.end()) chosen = static_cast<size_t>(found - ready_.begin());
  }
  Lane* lane = &lanes_[static_cast<size_t>(ready_[chosen])];
  ready_[chosen] = ready_.back();
  ready_.pop_back();
  return lane;
}

void Scheduler::give_up_control(bool dying) {
  Lane* self = current_lane;
  Lane* next = pick();
  if (next == self) return;
  if (next == nullptr && num_done_ < block_.num_lanes) {
    report_deadlock();
    abandoned_ = true;
  }
  ++statistics_->switches;
  current_lane = next;
  switch_fiber(fibers_[static_cast<size_t>(self->id)], next != nullptr ? fibers_[static_cast<size_t>(next->id)] : host_, dying);
}

void Scheduler::wait() { give_up_control(false); }

void Scheduler::make_ready(Lane& lane) {
  lane.state = LaneState::kReady;
  ready_.push_back(lane.id);
}

void Scheduler::step_aside() {
  if (order_ != Settings::Order::kRandom) return;
  make_ready(*current_lane);
  give_up_control(false);
}

void Scheduler::let_others_go_on(uint64_t spins) {
  if (!ready_.empty()) {  // whatever the order, each of them has its turn
    Lane* self = current_lane;
    std::swap(ready_.back(), ready_[random().below(static_cast<uint32_t>(ready_.size()))]);
    current_lane = &lanes_[static_cast<size_t>(ready_.back())];
    ready_.pop_back();
    make_ready(*self);
    ++statistics_->switches;
    switch_fiber(fibers_[static_cast<size_t>(self->id)], fibers_[static_cast<size_t>(current_lane->id)]);
  }
  constexpr uint64_t kPatience = 300;  // some 20 ms
  if (spins % kPatience == 0) drive_idle_devices(*block_.device);
  give_way();
}

// Others' kernels in C++ may run meanwhile, in the same __shared__ variables.
void Scheduler::give_way() {
  const bool alone = block_.kernel->image->ptx == nullptr;
  unsigned char *begin = block_.shared.static_begin, *end = block_.shared.static_end;
  if (alone) {
    if (kAsan) unsupported("a kernel that waits for another device, with AddressSanitizer: their __shared__ variables could not be told apart");
    set_aside_.assign(begin, end);
    shared_variables().unlock();
  }
  std::this_thread::sleep_for(std::chrono::microseconds(20));
  if (!alone) return;
  shared_variables().lock();
  std::copy(set_aside_.begin(), set_aside_.end(), begin);
}

void Scheduler::abandon() {
  abandoned_ = true;
  Lane* self = current_lane;
  current_lane = nullptr;
  switch_fiber(fibers_[static_cast<size_t>(self->id)], host_, true);
  __builtin_unreachable();
}

void Scheduler::arrive(int id, int count, CallSite site) {
  Lane& lane = *current_lane;
  if (id < 0 || id >= static_cast<int>(barriers_.size())) lane_trap("barrier number outside 0-15", site);
  if (count % kWarpLanes != 0 || count > static_cast<int>(round_up(static_cast<size_t>(block_.num_lanes), kWarpLanes))) {
    lane_trap("a barrier's thread count is no multiple of 32, or more than the block has", site);
  }
  NamedBarrier& barrier = barriers_[static_cast<size_t>(id)];
  if (barrier.arrived == 0) {
    barrier = {count, 0, site};
  } else if (!same_site(barrier.site, site) || barrier.expected != count) {
    lane_trap(fmt::format("barrier divergence: other threads wait at {}:{}, this one came to", barrier.site.file, barrier.site.line).c_str(), site);
  }
  lane.state = LaneState::kAtBarrier;
  lane.site = site;
  lane.barrier_id = id;
  ++lane.clock;
  ++barrier.arrived;
  if (barrier.arrived == (count != 0 ? count : block_.num_lanes - num_done_)) release(id);
  wait();
}

void Scheduler::release(int id) {
  NamedBarrier& barrier = barriers_[static_cast<size_t>(id)];
  const bool whole_block = barrier.arrived + num_done_ >= block_.num_lanes;
  barrier.arrived = 0;
  Lane* met[kMaxLanes];
  int count = 0;
  for (int i = block_.num_lanes - 1; i >= 0; --i) {
    Lane& lane = lanes_[static_cast<size_t>(i)];
    if (lane.state != LaneState::kAtBarrier || lane.barrier_id != id) continue;
    met[count++] = &lane;
    make_ready(lane);
  }
  if (whole_block) ++block_.epoch;
  else if (checker() != nullptr) checker()->on_sync(met, count);
}

void Scheduler::report_deadlock() {
  std::string sentence = fmt::format("deadlock in {}, block ({},{},{}): ", block_.kernel->image->name, current_lane->block.x, current_lane->block.y, current_lane->block.z);
  int shown = 0;
  for (int i = 0; i < block_.num_lanes && shown < 4; ++i) {
    const Lane& lane = lanes_[static_cast<size_t>(i)];
    if (lane.state == LaneState::kDone) continue;
    sentence += fmt::format("{}thread {} waits in a {} at {}:{}", shown++ > 0 ? "; " : "", i, lane.state == LaneState::kAtBarrier ? "barrier" : "warp collective", lane.site.file, lane.site.line);
  }
  report(sentence);
}

void barrier(int id, int count, CallSite site) { Scheduler::running().arrive(id, count, site); }

void lane_trap(const char* what, CallSite site) {
  report(fmt::format("{} at {}:{}", what, site.file, site.line));
  Scheduler::running().abandon();
}

}  // namespace cudasim
