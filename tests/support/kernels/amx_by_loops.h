// The AMX intrinsics of kernels/cpu/linear_amx.cpp, linear_pairs_amx.cpp, tile_registers.h and tile_products.h as plain loops, one set of tile registers per thread. Semantics after the Intel
// Intrinsics Guide; an access outside what was configured aborts, as it would fault. Include it in place of the real ones: it renames them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace terrace::testing {

struct TileRegister {
  int rows = 0, row_bytes = 0;
  uint8_t bytes[16][64] = {};
};
inline thread_local TileRegister tile_registers[8];

inline TileRegister& tile(int index) {
  TileRegister& result = tile_registers[index];
  if (result.rows == 0) std::abort();
  return result;
}
inline void tile_loadconfig(const void* config) {
  uint8_t bytes[64];
  std::memcpy(bytes, config, 64);
  if (bytes[0] != 1) std::abort();
  for (int i = 0; i < 8; ++i) {
    TileRegister& result = tile_registers[i] = {};
    result.row_bytes = bytes[16 + 2 * i] | bytes[17 + 2 * i] << 8;
    result.rows = bytes[48 + i];
    if (result.rows > 16 || result.row_bytes > 64) std::abort();
  }
}
inline void tile_release() {
  for (TileRegister& result : tile_registers) result = {};
}
inline void tile_zero(int index) { std::memset(tile(index).bytes, 0, sizeof(TileRegister::bytes)); }
inline void tile_loadd(int index, const void* from, long stride) {
  TileRegister& to = tile(index);
  std::memset(to.bytes, 0, sizeof to.bytes);
  for (int r = 0; r < to.rows; ++r) {
    std::memcpy(to.bytes[r], static_cast<const uint8_t*>(from) + r * stride, static_cast<size_t>(to.row_bytes));
  }
}
inline void tile_stored(int index, void* to, long stride) {
  const TileRegister& from = tile(index);
  for (int r = 0; r < from.rows; ++r) {
    std::memcpy(static_cast<uint8_t*>(to) + r * stride, from.bytes[r], static_cast<size_t>(from.row_bytes));
  }
}
/// sums += signed bytes of a, by unsigned bytes of b whose row k holds bytes 4 k .. 4 k + 3 of each column.
inline void tile_dpbsud(int sums_index, int a_index, int b_index) {
  TileRegister& sums = tile(sums_index);
  const TileRegister& a = tile(a_index);
  const TileRegister& b = tile(b_index);
  if (a.rows != sums.rows || b.row_bytes != sums.row_bytes || a.row_bytes != 4 * b.rows) std::abort();
  for (int m = 0; m < sums.rows; ++m) {
    for (int n = 0; n < sums.row_bytes / 4; ++n) {
      int32_t sum;
      std::memcpy(&sum, sums.bytes[m] + 4 * n, 4);
      for (int k = 0; k < a.row_bytes; ++k) sum += static_cast<int8_t>(a.bytes[m][k]) * b.bytes[k / 4][4 * n + k % 4];
      std::memcpy(sums.bytes[m] + 4 * n, &sum, 4);
    }
  }
}

/// sums += pairs of bfloat16 of a, by pairs of b whose row k holds elements 2 k and 2 k + 1 of each column.
inline void tile_dpbf16ps(int sums_index, int a_index, int b_index) {
  TileRegister& sums = tile(sums_index);
  const TileRegister& a = tile(a_index);
  const TileRegister& b = tile(b_index);
  if (a.rows != sums.rows || b.row_bytes != sums.row_bytes || a.row_bytes != 4 * b.rows) std::abort();
  const auto element = [](const uint8_t* from) {
    const uint32_t bits = static_cast<uint32_t>(from[0] | from[1] << 8) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  };
  for (int m = 0; m < sums.rows; ++m) {
    for (int n = 0; n < sums.row_bytes / 4; ++n) {
      float sum;
      std::memcpy(&sum, sums.bytes[m] + 4 * n, 4);
      for (int k = 0; k < a.row_bytes / 2; ++k) sum += element(a.bytes[m] + 2 * k) * element(b.bytes[k / 2] + 4 * n + k % 2 * 2);
      std::memcpy(sums.bytes[m] + 4 * n, &sum, 4);
    }
  }
}

}  // namespace terrace::testing

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbsud
#undef _tile_dpbf16ps
#define _tile_loadconfig ::terrace::testing::tile_loadconfig
#define _tile_release ::terrace::testing::tile_release
#define _tile_zero ::terrace::testing::tile_zero
#define _tile_loadd ::terrace::testing::tile_loadd
#define _tile_stored ::terrace::testing::tile_stored
#define _tile_dpbsud ::terrace::testing::tile_dpbsud
#define _tile_dpbf16ps ::terrace::testing::tile_dpbf16ps
