// Which element each lane of a warp holds, as CuTe describes it: facts from NVIDIA CUTLASS 4.2 (cute/atom/mma_traits_sm80.hpp, copy_traits_sm75.hpp; BSD-3-Clause), a description of
// mma and ldmatrix that does not come from the PTX manual, as the simulator's does. check_fragment_layouts.sh compares these tables with CuTe's headers themselves.
#pragma once

namespace fragments {

struct Mode {
  int size, stride;
};

/// (lane, value) to an index: both numbers are split by the sizes, first mode fastest, and each part counts by its stride.
struct Layout {
  const char* name;
  Mode lane[2];
  Mode value[3];

  static constexpr int part(const Mode* modes, int count, int number) {
    int index = 0;
    for (int k = 0; k < count; ++k) {
      index += number % modes[k].size * modes[k].stride;
      number /= modes[k].size;
    }
    return index;
  }
  constexpr int operator()(int lane_number, int value_number) const { return part(lane, 2, lane_number) + part(value, 3, value_number); }
};

// mma.m16n8k16, 16-bit operands. Indices: m + 16 k, n + 8 k, m + 16 n.
constexpr Layout kA{"A", {{4, 32}, {8, 1}}, {{2, 16}, {2, 8}, {2, 128}}};
constexpr Layout kB{"B", {{4, 16}, {8, 1}}, {{2, 8}, {2, 64}, {1, 0}}};
constexpr Layout kC{"C", {{4, 32}, {8, 1}}, {{2, 16}, {2, 8}, {1, 0}}};
// ldmatrix of four matrices whose 32 rows of 128 bits lie one after the other: (lane, 16-bit value) to bits.
constexpr Layout kLdmatrix{"ldmatrix.x4", {{32, 32}, {1, 0}}, {{2, 16}, {4, 1024}, {1, 0}}};
constexpr Layout kLdmatrixTransposed{"ldmatrix.x4.trans", {{4, 256}, {8, 16}}, {{2, 128}, {4, 1024}, {1, 0}}};

}  // namespace fragments
