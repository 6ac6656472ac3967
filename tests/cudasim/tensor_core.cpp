#include "tests/cudasim/tensor_core.h"

#include <cuda_fp16.h>

#include <cstring>

#include "tests/cudasim/scheduler.h"

namespace cudasim {
namespace {

float half_bits_to_float(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }

float bf16_bits_to_float(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// 8 rows of 16 bytes from the lanes 8 m ... 8 m + 7.
void read_rows(Lane* const* lanes, int matrix, unsigned char (&rows)[8][16]) {
  Lane* const caller = current_lane;
  unsigned banks = 0, conflicts = 0;
  for (int r = 0; r < 8; ++r) {
    Lane& lane = *lanes[matrix * 8 + r];
    const unsigned char* address;
    std::memcpy(&address, lane.call.in, sizeof address);
    current_lane = &lane;  // the access is that lane's
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) current_lane = caller, lane_trap("ldmatrix: a row's address is not 16-byte aligned", lane.site);
    if (!in_shared_memory(address, 16)) current_lane = caller, lane_trap("ldmatrix: a row is not in shared memory", lane.site);
    touch(address, 16, false, false);
    current_lane = caller;
    std::memcpy(rows[r], address, 16);
    const unsigned group = 1u << (reinterpret_cast<uintptr_t>(address) / 16 % 8);  // 4 banks of 4 bytes
    conflicts += (banks & group) != 0;
    banks |= group;
  }
  KernelStatistics& statistics = Scheduler::running().statistics();
  ++statistics.ldmatrix_phases;
  statistics.ldmatrix_conflicts += conflicts;
}

}  // namespace

void multiply_matrices(Lane* const* lanes, bool bf16) {
  float a[16][16], b[8][16], c[16][8];
  const auto widen = [bf16](uint32_t pair, int half) {
    const auto bits = static_cast<uint16_t>(pair >> (16 * half));
    return bf16 ? bf16_bits_to_float(bits) : half_bits_to_float(bits);
  };
  for (int l = 0; l < kWarpLanes; ++l) {
    MmaOperands in;
    std::memcpy(&in, lanes[l]->call.in, sizeof in);
    const int row = l / 4, column = l % 4 * 2;
    for (int h = 0; h < 2; ++h) {
      for (int i = 0; i < 4; ++i) a[row + (i & 1) * 8][column + (i >> 1) * 8 + h] = widen(in.a[i], h);
      for (int i = 0; i < 2; ++i) b[row][column + i * 8 + h] = widen(in.b[i], h);
    }
    for (int i = 0; i < 4; ++i) c[row + (i >> 1) * 8][column + (i & 1)] = in.c[i];
  }
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[column][k];
      c[row][column] += sum;
    }
  }
  for (int l = 0; l < kWarpLanes; ++l) {
    float out[4];
    for (int i = 0; i < 4; ++i) out[i] = c[l / 4 + (i >> 1) * 8][l % 4 * 2 + (i & 1)];
    std::memcpy(lanes[l]->call.out, out, sizeof out);
  }
}

void load_matrices(Lane* const* lanes) {
  const int matrices = lanes[0]->call.immediate;
  const bool transposed = lanes[0]->call.width == 1;
  for (int m = 0; m < matrices; ++m) {
    unsigned char rows[8][16];
    read_rows(lanes, m, rows);
    for (int l = 0; l < kWarpLanes; ++l) {
      for (int h = 0; h < 2; ++h) {  // the lane's two elements: of row l / 4, or of column l / 4
        const int major = l / 4, minor = l % 4 * 2 + h;
        const unsigned char* element = transposed ? &rows[minor][major * 2] : &rows[major][minor * 2];
        std::memcpy(lanes[l]->call.out + 4 * m + 2 * h, element, 2);
      }
    }
  }
}

}  // namespace cudasim
