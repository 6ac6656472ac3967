#include "kernels/cpu/machine_limits.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/base/function_ref.h"
#include "kernels/cpu/limit_probes.h"

namespace terrace {
namespace {

constexpr int kPasses = 7;
constexpr int64_t kRounds = 400'000;  // of a multiply-add probe: 1 to 3 ms on a vector unit

LimitProbes probes_of(Isa isa) {
  switch (isa) {
    case Isa::kScalar: return kScalarProbes;
    case Isa::kAvx2: return kAvx2Probes;
    case Isa::kAvx512: return kAvx512Probes;
    case Isa::kVnni: return {kAvx512Probes.read, vnni_int8_multiply_adds, kAvx512Probes.fp32_multiply_adds, "vpdpbusd and vfmadd, 512 bits"};
    case Isa::kAmx: return {kAvx512Probes.read, amx_int8_multiply_adds, kAvx512Probes.fp32_multiply_adds, "tdpbusd and vfmadd, tiles and 512 bits"};
  }
  return kScalarProbes;
}

double median_seconds(FunctionRef<void()> pass) {
  std::vector<double> seconds;
  for (int i = 0; i < kPasses; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kPasses / 2, seconds.end());
  return std::max(seconds[kPasses / 2], 1e-9);
}

double multiply_add_rate(ThreadPool& pool, int64_t (*probe)(int64_t)) {
  std::atomic<int64_t> per_round = 0;
  const double seconds = median_seconds([&] { pool.run([&](int) { per_round = probe(kRounds); }); });
  return static_cast<double>(per_round * kRounds * pool.num_threads()) / seconds;
}

}  // namespace

size_t memory_probe_bytes() {
  const long cache = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return std::clamp(static_cast<size_t>(std::max(cache, 0L)) * 2, size_t{128} << 20, size_t{512} << 20);
}

double measure_read_rate(ThreadPool& pool, Isa isa, const Buffer& memory) {
  const auto num_threads = static_cast<size_t>(pool.num_threads());
  const size_t slice = memory.bytes() / num_threads / kReadBlock * kReadBlock;
  if (slice == 0) return 0;
  const auto slice_of = [&](int thread) { return memory.data() + static_cast<size_t>(thread) * slice; };
  // Written first: pages that were never written are all one page of zeros, which stays in cache.
  pool.run([&](int thread) { std::memset(slice_of(thread), 1, slice); });
  const LimitProbes probes = probes_of(isa);
  std::atomic<uint64_t> sum = 0;
  const double seconds = median_seconds([&] { pool.run([&](int thread) { sum += probes.read(slice_of(thread), slice); }); });
  return static_cast<double>(slice * num_threads) / seconds;
}

MachineLimits measure_multiply_adds(ThreadPool& pool, Isa isa) {
  const LimitProbes probes = probes_of(isa);
  MachineLimits limits;
  limits.int8_multiply_adds = multiply_add_rate(pool, probes.int8_multiply_adds);
  limits.fp32_multiply_adds = multiply_add_rate(pool, probes.fp32_multiply_adds);
  limits.instructions = probes.instructions;
  return limits;
}

}  // namespace terrace
