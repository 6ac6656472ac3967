// mma.m16n8k16 and ldmatrix on the 32 lanes that met (PTX ISA manual, "Matrix Fragments for mma.m16n8k16 with floating point type" and "ldmatrix"). The scheduler's thread.
#pragma once

#include "tests/cudasim/core.h"

namespace cudasim {

/// call.in: MmaOperands, call.out: float[4]. Products are exact, sums are float in order of k: a device's order and rounding differ.
void multiply_matrices(Lane* const* lanes, bool bf16);

/// call.in: a row's address. Counts bank conflicts; a bad address is a trap.
void load_matrices(Lane* const* lanes);

}  // namespace cudasim
