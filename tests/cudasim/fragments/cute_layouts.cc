// Not part of any build: check_fragment_layouts.sh compiles it against CuTe's headers. Says whether fragment_layouts.h states what they state.
#include <cstdio>
#include <cute/atom/copy_traits_sm75.hpp>
#include <cute/atom/mma_traits_sm80.hpp>

#include "tests/cudasim/fragments/fragment_layouts.h"

namespace {

int differences = 0;

/// `value_step`: CuTe counts the values of ldmatrix in bits.
template <typename CuteLayout>
void compare(const fragments::Layout& ours, CuteLayout theirs, int num_values, int value_step) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int value = 0; value < num_values; ++value) {
      const int expected = static_cast<int>(theirs(lane, value * value_step));
      if (ours(lane, value) == expected) continue;
      std::printf("%s: lane %d value %d: %d here, %d in CuTe\n", ours.name, lane, value, ours(lane, value), expected);
      ++differences;
    }
  }
}

}  // namespace

int main() {
  using F16 = cute::MMA_Traits<cute::SM80_16x8x16_F32F16F16F32_TN>;
  using Bf16 = cute::MMA_Traits<cute::SM80_16x8x16_F32BF16BF16F32_TN>;
  compare(fragments::kA, F16::ALayout{}, 8, 1);
  compare(fragments::kB, F16::BLayout{}, 4, 1);
  compare(fragments::kC, F16::CLayout{}, 4, 1);
  compare(fragments::kA, Bf16::ALayout{}, 8, 1);
  compare(fragments::kB, Bf16::BLayout{}, 4, 1);
  compare(fragments::kC, Bf16::CLayout{}, 4, 1);
  compare(fragments::kLdmatrix, cute::Copy_Traits<cute::SM75_U32x4_LDSM_N>::DstLayout{}, 8, 16);
  compare(fragments::kLdmatrixTransposed, cute::Copy_Traits<cute::SM75_U16x8_LDSM_T>::DstLayout{}, 8, 16);
  std::printf("%d differences\n", differences);
  return differences != 0;
}
