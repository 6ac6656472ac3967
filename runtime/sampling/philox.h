// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11). A number depends on its key and
// counter alone, so a request's text depends on its seed alone, whatever else runs.
#pragma once

#include <array>
#include <cstdint>

namespace terrace {

/// The block of four 32-bit numbers at `counter` of the stream `key`.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Uniform in [0, 1) with 53 bits, for one choice among tokens: key = seed, counter = (choice, position).
double sampling_uniform(uint64_t seed, uint32_t choice, uint32_t position);

}  // namespace terrace
