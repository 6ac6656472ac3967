#include <immintrin.h>

#include "kernels/cpu/limit_probes.h"

namespace terrace {

/// Four tile registers of sums take turns, as many as one instruction's latency needs.
int64_t amx_int8_multiply_adds(int64_t rounds) {
  alignas(64) uint8_t config[64] = {1};                                       // palette 1
  for (int tile = 0; tile < 6; ++tile) config[16 + 2 * tile] = 64, config[48 + tile] = 16;  // bytes of a row, rows
  asm volatile("" ::"r"(config) : "memory");  // gcc 12 believes that only 8 bytes of it are read
  _tile_loadconfig(config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  _tile_release();
  return 4 * 16 * 16 * 64;
}

}  // namespace terrace
