// The configuration of AMX's eight tile registers. Only intrinsics that tests/support/kernels/amx_by_loops.h knows.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace terrace {
namespace {

/// Registers that are not set cannot be used.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int num_rows, int bytes) {
    rows[tile] = static_cast<uint8_t>(num_rows);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
  void load() const {
    asm volatile("" ::"r"(this) : "memory");  // gcc 12 believes that only 8 bytes of it are read
    _tile_loadconfig(this);
  }
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace
}  // namespace terrace
