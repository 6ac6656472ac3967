// Warp collectives: who meets whom, and what each lane gets.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/cudasim/scheduler.h"
#include "tests/cudasim/tensor_core.h"

namespace cudasim {
namespace {

bool is_shuffle(WarpOp op) { return op >= WarpOp::kShuffle && op <= WarpOp::kShuffleXor; }

// The lanes of one warp that met, by lane index; null outside the mask.
struct Warp {
  Lane* lanes[kWarpLanes] = {};
  unsigned mask = 0;

  template <typename Body>
  void each(Body body) const {
    for (int i = 0; i < kWarpLanes; ++i) {
      if (mask >> i & 1) body(i, lanes[i]->call);
    }
  }
};

void shuffle(const Warp& warp, WarpOp op) {
  warp.each([&](int i, CollectiveCall& call) {
    const int first = i & ~(call.width - 1), last = first + call.width - 1;
    int source = i;
    if (op == WarpOp::kShuffle) source = first + (call.immediate & (call.width - 1));
    if (op == WarpOp::kShuffleUp) source = i - call.immediate;
    if (op == WarpOp::kShuffleDown) source = i + call.immediate;
    if (op == WarpOp::kShuffleXor) source = i ^ call.immediate;
    if (source < first || (source > last && op != WarpOp::kShuffleXor) || source >= kWarpLanes) source = i;
    if (op == WarpOp::kShuffleXor && source > last) source = i;
    if (warp.mask >> source & 1) std::memcpy(call.out, warp.lanes[source]->call.in, 8);
    else std::memset(call.out, 0xff, 8);  // undefined on a device
  });
}

void match_any(const Warp& warp) {
  warp.each([&](int, CollectiveCall& call) {
    unsigned equal = 0;
    warp.each([&](int k, const CollectiveCall& other) { equal |= static_cast<unsigned>(std::memcmp(call.in, other.in, 8) == 0) << k; });
    std::memcpy(call.out, &equal, sizeof equal);
  });
}

uint32_t combine(WarpOp op, uint32_t a, uint32_t b) {
  const auto sa = static_cast<int32_t>(a), sb = static_cast<int32_t>(b);
  switch (op) {
    case WarpOp::kAddU32: return a + b;
    case WarpOp::kMinU32: return std::min(a, b);
    case WarpOp::kMaxU32: return std::max(a, b);
    case WarpOp::kMinS32: return static_cast<uint32_t>(std::min(sa, sb));
    case WarpOp::kMaxS32: return static_cast<uint32_t>(std::max(sa, sb));
    case WarpOp::kAnd: return a & b;
    case WarpOp::kOr: return a | b;
    default: return a ^ b;
  }
}

uint32_t value_of(const CollectiveCall& call) {
  uint32_t value = 0;
  std::memcpy(&value, call.in, sizeof value);
  return value;
}

void reduce(const Warp& warp, WarpOp op) {
  unsigned votes = 0;
  uint32_t sum = 0;
  bool first = true;
  warp.each([&](int i, const CollectiveCall& call) {
    const uint32_t value = value_of(call);
    votes |= static_cast<unsigned>(value != 0) << i;
    sum = first ? value : combine(op, sum, value);
    first = false;
  });
  uint32_t result = sum;
  if (op == WarpOp::kBallot) result = votes;
  if (op == WarpOp::kAny) result = votes != 0;
  if (op == WarpOp::kAll) result = votes == warp.mask;
  warp.each([&](int, CollectiveCall& call) { std::memcpy(call.out, &result, sizeof result); });
}

// __syncwarp orders memory: every lane has seen what any of them has done or seen.
void join_clocks(const Warp& warp) {
  uint32_t seen[kWarpLanes] = {};
  Lane* met[kWarpLanes];
  int count = 0;
  warp.each([&](int i, const CollectiveCall&) {
    Lane& lane = *warp.lanes[i];
    met[count++] = &lane;
    lane.seen[i] = ++lane.clock;
    for (int k = 0; k < kWarpLanes; ++k) seen[k] = std::max(seen[k], lane.seen[k]);
  });
  for (int i = 0; i < count; ++i) std::copy(std::begin(seen), std::end(seen), met[i]->seen);
  if (checker() != nullptr) checker()->on_sync(met, count);
}

void perform(const Warp& warp, WarpOp op) {
  if (op == WarpOp::kSync) return join_clocks(warp);
  if (is_shuffle(op)) return shuffle(warp, op);
  if (op == WarpOp::kMatchAny) return match_any(warp);
  if (op == WarpOp::kLdmatrix) return load_matrices(warp.lanes);
  if (op == WarpOp::kMmaF16 || op == WarpOp::kMmaBf16) return multiply_matrices(warp.lanes, op == WarpOp::kMmaBf16);
  reduce(warp, op);
}

void check_mask(Scheduler& scheduler, const Lane& self, WarpOp op, unsigned mask, CallSite site) {
  int count = 0;
  const Lane* lanes = scheduler.lanes_of_warp(self.warp, count);
  if (!(mask >> self.index & 1)) lane_trap("warp collective by a lane that is not in its mask", site);
  if (count < kWarpLanes && mask >> count != 0) lane_trap("the mask of a warp collective names lanes that the block does not have", site);
  if (op >= WarpOp::kLdmatrix && mask != ~0u) lane_trap("ldmatrix or mma without all 32 lanes", site);
  for (int i = 0; i < count; ++i) {
    if ((mask >> i & 1) && lanes[i].state == LaneState::kDone) lane_trap("a warp collective waits for a lane that has exited", site);
  }
}

// The gathering that this lane belongs to; a new one if no lane of the mask has come yet.
Gathering& join_gathering(std::vector<Gathering>& open, unsigned mask, WarpOp op, CallSite site) {
  for (Gathering& gathering : open) {
    if ((gathering.mask & mask) == 0) continue;
    const bool same_site = gathering.site.line == site.line && (gathering.site.file == site.file || std::strcmp(gathering.site.file, site.file) == 0);
    if (gathering.mask == mask && gathering.op == op && same_site) return gathering;
    lane_trap(fmt::format("warp divergence: lanes {:#010x} wait in a collective of mask {:#010x} at {}:{}, this one came with mask {:#010x}", gathering.arrived,
                          gathering.mask, gathering.site.file, gathering.site.line, mask).c_str(), site);
  }
  open.push_back({mask, 0, op, site});
  return open.back();
}

}  // namespace

void warp_collective(WarpOp op, unsigned mask, const void* in, int in_bytes, void* out, int out_bytes, int immediate, int width, CallSite site) {
  Scheduler& scheduler = Scheduler::running();
  Lane& self = *current_lane;
  ++scheduler.statistics().collectives;
  check_mask(scheduler, self, op, mask, site);
  if (in_bytes > static_cast<int>(sizeof self.call.in) || out_bytes > static_cast<int>(sizeof self.call.out)) unsupported("a warp collective of too many bytes");
  CollectiveCall& call = self.call;
  call.op = op, call.mask = mask, call.in_bytes = in_bytes, call.immediate = immediate, call.width = width;
  std::memset(call.in, 0, 8);  // shuffles and match compare and move eight
  if (in_bytes > 0) std::memcpy(call.in, in, static_cast<size_t>(in_bytes));
  self.site = site;

  std::vector<Gathering>& open = scheduler.gatherings(self.warp);
  Gathering& gathering = join_gathering(open, mask, op, site);
  gathering.arrived |= 1u << self.index;
  if (gathering.arrived != mask) {
    self.state = LaneState::kInCollective;
    scheduler.wait();
  } else {
    open.erase(open.begin() + (&gathering - open.data()));
    Warp warp;
    warp.mask = mask;
    int count = 0;
    Lane* lanes = scheduler.lanes_of_warp(self.warp, count);
    for (int i = 0; i < count; ++i) warp.lanes[i] = (mask >> i & 1) ? &lanes[i] : nullptr;
    perform(warp, op);
    for (int i = count - 1; i >= 0; --i) {
      if (warp.lanes[i] != nullptr && warp.lanes[i] != &self) scheduler.make_ready(*warp.lanes[i]);
    }
    scheduler.step_aside();  // the last to come need not go on first
  }
  if (out_bytes > 0) std::memcpy(out, call.out, static_cast<size_t>(out_bytes));
}

}  // namespace cudasim
