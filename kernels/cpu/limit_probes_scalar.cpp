#include "kernels/cpu/limit_probes.h"

namespace terrace {
namespace {

uint64_t read(const std::byte* data, size_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t sum[4] = {};
  for (size_t i = 0; i < bytes / sizeof(uint64_t); i += 4) {
    for (size_t k = 0; k < 4; ++k) sum[k] ^= words[i + k];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

/// One chain per element; the empty asm stands for a use, so that no round is left out.
template <typename Number>
int64_t multiply_adds(int64_t rounds) {
  Number chain[kProbeChains] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    for (Number& value : chain) value = static_cast<Number>(value * Number{3} + Number{1});
    asm volatile("" : : "r"(chain) : "memory");
  }
  return kProbeChains;
}

}  // namespace

const LimitProbes kScalarProbes = {read, multiply_adds<uint32_t>, multiply_adds<float>, "portable C++ multiply and add"};

}  // namespace terrace
