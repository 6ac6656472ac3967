// The loop that the multiply-add probes of every vector ISA share. Included by limit_probes_avx*.cpp only.
#pragma once

#include "kernels/cpu/limit_probes.h"

namespace terrace {
namespace {

/// Calls step(chain) for each of kProbeChains chains in every round. They are variables of their own, since gcc keeps an array in memory.
template <class Vector, class Step>
void run_chains(int64_t rounds, Vector zero, Step step) {
  Vector a = zero, b = zero, c = zero, d = zero, e = zero, f = zero;
  Vector g = zero, h = zero, i = zero, j = zero, k = zero, l = zero;
  static_assert(kProbeChains == 12);
  for (int64_t round = 0; round < rounds; ++round) {
    step(a), step(b), step(c), step(d), step(e), step(f);
    step(g), step(h), step(i), step(j), step(k), step(l);
  }
}

}  // namespace
}  // namespace terrace
