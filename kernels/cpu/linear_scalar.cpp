// The linear kernels in plain C++: for machines without AVX2, and the yardstick that the others must equal bit for bit.

#include <cmath>
#include <cstring>

#include "kernels/base/half.h"
#include "kernels/cpu/linear_float_tile.h"

namespace terrace {
namespace {

struct ScalarVector {
  static constexpr int kLanes = 8;
  static constexpr bool kByteDot = false;
  static constexpr bool kTwoSums = false;
  static constexpr int kMostRows = 1;  // of x at a time, for floats
  static constexpr int kWeightRegisters = 8;

  struct Floats {
    float lane[8];
  };
  struct Ints {
    int32_t lane[8];
  };
  struct Bytes {
    int16_t element[32];  // 4 bytes of each lane; of widened pairs, the first 16 are used
  };

  template <class Result, class Function>
  static Result each(Function function) {
    Result result;
    for (int i = 0; i < 8; ++i) result.lane[i] = function(i);
    return result;
  }
  template <class Load>
  static Bytes each_byte(int count, Load load) {
    Bytes result = {};
    for (int i = 0; i < count; ++i) result.element[i] = static_cast<int16_t>(load(i));
    return result;
  }

  static Floats zero() { return {}; }
  static Floats broadcast(const float* from) { return each<Floats>([&](int) { return *from; }); }
  static Floats load_floats(const uint8_t* from) {
    Floats result;
    std::memcpy(result.lane, from, sizeof result.lane);
    return result;
  }
  static uint16_t load_u16(const uint8_t* from) {
    uint16_t value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  static Floats load_f16(const uint8_t* from) {
    return each<Floats>([&](int i) { return f16_to_float(load_u16(from + 2 * i)); });
  }
  static Floats load_bf16(const uint8_t* from) {
    return each<Floats>([&](int i) { return bf16_to_float(load_u16(from + 2 * i)); });
  }
  static void store(float* out, const Floats& a) { std::memcpy(out, a.lane, sizeof a.lane); }
  static Floats mul(const Floats& a, const Floats& b) {
    return each<Floats>([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static Floats add_floats(const Floats& a, const Floats& b) {
    return each<Floats>([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static Floats fma(const Floats& a, const Floats& b, const Floats& c) {
    return each<Floats>([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static Floats to_floats(const Ints& a) {
    return each<Floats>([&](int i) { return static_cast<float>(a.lane[i]); });
  }

  static Ints broadcast_int(const int32_t* from) { return each<Ints>([&](int) { return *from; }); }
  static Ints add(const Ints& a, const Ints& b) {
    return each<Ints>([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static Ints subtract(const Ints& a, const Ints& b) {
    return each<Ints>([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  template <int kBits>
  static Ints shift_left(const Ints& a) {
    return each<Ints>([&](int i) { return a.lane[i] * (1 << kBits); });
  }

  static Bytes load_bytes(const uint8_t* from) {
    return each_byte(32, [&](int i) { return from[i]; });
  }
  static Bytes low_nibbles(const uint8_t* from) {
    return each_byte(32, [&](int i) { return from[i] & 15; });
  }
  static Bytes high_nibbles(const uint8_t* from) {
    return each_byte(32, [&](int i) { return from[i] >> 4; });
  }
  /// As 16-bit numbers.
  static Bytes even_bytes(const Bytes& a) {
    return each_byte(16, [&](int i) { return a.element[2 * i]; });
  }
  static Bytes odd_bytes(const Bytes& a) {
    return each_byte(16, [&](int i) { return a.element[2 * i + 1]; });
  }
  static Bytes load_widened(const uint8_t* from) {
    return each_byte(16, [&](int i) { return static_cast<int8_t>(from[i]); });
  }

  /// 4 bytes of x, in all lanes alike.
  static Bytes broadcast_codes(const int8_t* x) {
    return each_byte(32, [&](int i) { return x[i % 4]; });
  }
  /// 2 wide codes of x.
  static Bytes broadcast_codes(const int16_t* x) {
    return each_byte(16, [&](int i) { return x[i % 2]; });
  }

  using Chain = Ints;
  static constexpr int longest_chain(int) { return 8; }
  static Chain begin_chain(const Bytes& weights, const Bytes& x) { return add_to_chain({}, weights, x); }
  static Chain add_to_chain(Chain chain, const Bytes& weights, const Bytes& x) {
    for (int i = 0; i < 32; ++i) chain.lane[i / 4] += weights.element[i] * x.element[i];
    return chain;
  }
  template <int kShift>
  static Ints end_chain(const Chain& chain) { return shift_left<kShift>(chain); }

  static Ints multiply_pairs(const Bytes& weights, const Bytes& x) { return add_pairs({}, weights, x); }
  static Ints add_pairs(Ints sums, const Bytes& weights, const Bytes& x) {
    for (int i = 0; i < 16; ++i) sums.lane[i / 2] += weights.element[i] * x.element[i];
    return sums;
  }
  template <class Value>
  static void pin(const Value&) {}
};

void put_code(ByteBlock& block, int i, int code) { block.codes[i] = static_cast<int8_t>(code); }
void put_code(WideBlock& block, int i, int code) { block.codes[i / 4 * 4 + i % 2 * 2 + i / 2 % 2] = static_cast<int16_t>(code); }
void put_code(PlaneBlock& block, int i, int code) {
  block.high[i] = static_cast<int8_t>((code + 128) >> 8);
  block.low[i] = static_cast<int8_t>(code - block.high[i] * 256);
}

template <class Block>
Block quantize_block(const float* x, float max_code) {
  uint32_t largest = 0;  // bits of the largest magnitude; a NaN is larger than all numbers
  for (int i = 0; i < kBlockColumns; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  const float magnitude = std::bit_cast<float>(largest);
  Block block = {};
  if (largest >= 0x7f800000u) {
    block.scale = block.scaled_sum = std::bit_cast<float>(0x7fc00000u);
    return block;
  }
  if (magnitude < kMinMagnitude) return block;
  const float inverse = max_code / magnitude;
  for (int i = 0; i < kBlockColumns; ++i) {
    const int code = static_cast<int>(std::nearbyint(x[i] * inverse));
    put_code(block, i, code);
    block.sum += code;
    if (i >= kBlockColumns / 2) block.second_sum += code;
  }
  block.scale = magnitude / max_code;
  block.scaled_sum = block.scale * static_cast<float>(block.sum);
  return block;
}

template <class Block, bool kFine>
void quantize(const float* x, int64_t cols, void* blocks, int64_t stride) {
  constexpr float kMaxCode = kFine ? kMaxCode16 : kMaxCode8;
  Block* out = static_cast<Block*>(blocks);
  for (; cols >= kBlockColumns; cols -= kBlockColumns, x += kBlockColumns, out += stride) *out = quantize_block<Block>(x, kMaxCode);
  if (cols > 0) {
    float padded[kBlockColumns] = {};
    std::memcpy(padded, x, static_cast<size_t>(cols) * sizeof(float));
    *out = quantize_block<Block>(padded, kMaxCode);
  }
}

constexpr LinearKernels kScalarKernels = {
    .tile_rows = ScalarVector::kLanes,
    .byte_dot = ScalarVector::kByteDot,
    .multiply = &choose_multiply<ScalarVector>,
    .quantize = {nullptr, &quantize<ByteBlock, false>, &quantize<PlaneBlock, true>, &quantize<WideBlock, false>,
                 &quantize<WideBlock, true>},
};

}  // namespace

const LinearKernels& scalar_linear_kernels() { return kScalarKernels; }

}  // namespace terrace
