// How a packed weight and the converted activations lie in device memory. Plain data, for host code and kernels alike; owns nothing.
//
// Columns go in groups of 32 and stages of 64, zero-padded; outputs in strips of 16. Quantised kinds: a record holds one strip of one stage, and
// a strip's records follow one another, so that a warp streams one piece of memory. Within a record each lane of the warp finds its operand of
// mma.m16n8k16 as one 16-byte piece (weights are the 16-row operand, activations the 8-column one): lane 4 g + q holds outputs g and g + 8, and of
// each group the columns 4 q .. 4 q + 3 (first step of 16) and 16 + 4 q .. 16 + 4 q + 3 (second step). After the codes, per group of equal scale
// (32 columns; 16 for kSixteenths): for each g the scale, [the min] of output g, then those of output g + 8.
//
// 16-bit rows (activations, and weights of kind kHalves) are row-major, with the same order inside a group: position 8 q + 4 s + i is column 16 s + 4 q + i.
#pragma once

#include <cstdint>

namespace terrace {

constexpr int kStripOutputs = 16;
constexpr int kGroupColumns = 32;
constexpr int kStageColumns = 64;
constexpr int kStageGroups = kStageColumns / kGroupColumns;

enum class CodeKind : int {
  kNibbles,     // 4-bit codes, a scale per 32 columns
  kBytes,       // codes of 5 to 8 bits, likewise
  kSixteenths,  // codes of 6 to 8 bits, a scale per 16 columns
  kHalves,      // f16 values: weight = scale * value
};

struct DeviceWeight {
  CodeKind kind = CodeKind::kNibbles;
  bool half_scales = false;      // f16 scales and mins, else float
  bool has_min = false;
  int num_outputs = 0;
  int num_stages = 0;
  int record_bytes = 0;          // one strip of one stage
  uint32_t code_bias = 0;        // two f16: subtracted from 1024 + code
  uint32_t high_code_bias = 0;   // two f16: added to (1024 + 16 code) / 16, for the high nibbles
  float scale = 1;               // the power of two by which f16 weights (kHalves, or dequantised) are to be multiplied
  const uint8_t* data = nullptr;
};

/// Rows of activations as f16 with a power-of-two scale for each row.
struct DeviceRows {
  const uint16_t* values = nullptr;  // [padded_rows, num_stages * 64] f16
  const float* sums = nullptr;       // [num_stages * 2, padded_rows] of each group's values
  const float* scale = nullptr;      // [padded_rows]: row = scale * values
  int num_rows = 0;
  int padded_rows = 0;               // to a multiple of 16, with zeros
  int num_stages = 0;
};

struct DeviceProduct {
  DeviceRows x;
  DeviceWeight weight;
  float* out = nullptr;        // [num_rows, num_outputs]
  int64_t out_stride = 0;      // floats
  const float* bias = nullptr; // [num_outputs] or none
  // In more than one piece of the columns, whose sums wait in `partials`, [num_splits, num_rows, num_outputs], to be added up in order.
  int num_splits = 1;
  float* partials = nullptr;
};

constexpr int code_bytes(CodeKind kind) {  // of one strip of one stage
  return kind == CodeKind::kNibbles ? 512 : kind == CodeKind::kHalves ? 2048 : 1024;
}

constexpr int scale_groups(CodeKind kind) {  // of 32 columns
  return kind == CodeKind::kHalves ? 0 : kind == CodeKind::kSixteenths ? 2 : 1;
}

/// Bytes of one (g, g + 8) entry of scales.
constexpr int scale_entry_bytes(bool half_scales, bool has_min) { return (half_scales ? 4 : 8) * (has_min ? 2 : 1); }

}  // namespace terrace
