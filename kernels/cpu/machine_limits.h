// Measures what this machine can do at most with a team of threads: reading memory, and multiplying and adding with the instructions of an
// ISA. Takes about half a second. Called from the pool's step thread.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/machine_limits.h"

namespace terrace {

/// The size of the set that MachineLimits::memory_rate is measured over: twice the last-level cache, 128 to 512 MiB.
size_t memory_probe_bytes();

/// Bytes/s at which the team reads `memory`, which it first touches and overwrites; the median of several passes.
double measure_read_rate(ThreadPool& pool, Isa isa, const Buffer& memory);
/// The multiply-add rates and the instructions' names; the rest of the result is empty.
MachineLimits measure_multiply_adds(ThreadPool& pool, Isa isa);

}  // namespace terrace
