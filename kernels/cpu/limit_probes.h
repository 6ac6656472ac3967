// One thread's part of the measured machine limits, per ISA: loops that do nothing but read, or nothing but multiply and add. Any thread.
// Included by files compiled for an ISA: no STL here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

struct LimitProbes {
  /// Reads [data, data + bytes), bytes a multiple of kReadBlock; the result keeps the compiler from leaving that out.
  uint64_t (*read)(const std::byte* data, size_t bytes);
  /// `rounds` rounds of independent chains; returns the multiply-adds of one round.
  int64_t (*int8_multiply_adds)(int64_t rounds);
  int64_t (*fp32_multiply_adds)(int64_t rounds);
  const char* instructions;
};

inline constexpr size_t kReadBlock = 512;
/// Independent chains of a multiply-add probe: more than latency x ports anywhere (4 x 2 to 5 x 2), and few enough for 16 registers.
inline constexpr int kProbeChains = 12;

extern const LimitProbes kScalarProbes;
extern const LimitProbes kAvx2Probes;
extern const LimitProbes kAvx512Probes;
/// The int8 probes of VNNI and AMX; all else there is AVX-512's.
int64_t vnni_int8_multiply_adds(int64_t rounds);
int64_t amx_int8_multiply_adds(int64_t rounds);

}  // namespace terrace
