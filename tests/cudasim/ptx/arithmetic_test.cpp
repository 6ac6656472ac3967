// The interpreter's arithmetic against the host code of NVIDIA's headers, or a plain statement of what the instruction means.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/parser.h"

namespace cudasim::ptx {
namespace {

/// One instruction `opcode d, a, b, c;` on registers of the types given, run by a lane of its own.
class One {
 public:
  One(std::string_view opcode, std::string_view result, std::vector<std::string> operands) : num_operands_(operands.size()) {
    std::string text = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry f(.param .b64 p0, .param .b64 p1, .param .b64 p2, .param .b64 p3)\n{\n";
    text += fmt::format(".reg .{} %d;\n", result);
    std::string list = "%d";
    for (size_t k = 0; k < operands.size(); ++k) {
      text += fmt::format(".reg .{0} %a{1};\nld.param.{0} %a{1}, [p{2}];\n", operands[k], k, k + 1);
      list += fmt::format(", %a{}", k);
    }
    text += fmt::format("{} {};\n;st.param.{} [p0], %d;\nret;\n}}\n", opcode, list, result);
    module_ = parse_outline("one.ptx", text);
    Function& function = *module_->functions.at("f");
    parse_body(*module_, function);
    Decoder(*module_, function, program_, [](std::string_view) { return Decoder::Callee{}; }).run();
  }

  template <typename T, typename... Operands>
  T run(Operands... operands) {
    EXPECT_EQ(sizeof...(operands), num_operands_);
    uint64_t params[4] = {};
    size_t next = 1;
    (std::memcpy(&params[next++], &operands, sizeof operands), ...);
    Lane lane{};
    Kernel kernel;
    Block block;
    std::vector<unsigned char> stack(kStackBytes);
    lane.stack = stack.data();
    block.kernel = &kernel;
    block.num_lanes = 1;
    current_lane = &lane;
    current_block = &block;
    run_lane(program_, reinterpret_cast<const unsigned char*>(params));
    current_lane = nullptr;
    current_block = nullptr;
    T result;
    std::memcpy(&result, params, sizeof result);
    return result;
  }

 private:
  size_t num_operands_;
  std::unique_ptr<Module> module_;
  Program program_;
};

/// Bit patterns where something happens, and random ones.
std::vector<uint16_t> interesting_halves() {
  std::vector<uint16_t> bits = {0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x3F80, 0x7F7F, 0x7F80, 0x0080, 0x007F, 0x4248, 0x1234};
  std::mt19937 random(7);
  for (int k = 0; k < 40; ++k) bits.push_back(static_cast<uint16_t>(random()));
  return bits;
}

bool same_half(uint16_t a, uint16_t b, bool bf16) {
  const auto is_nan = [bf16](uint16_t x) { return (x & 0x7FFF) > (bf16 ? 0x7F80 : 0x7C00); };
  return a == b || (is_nan(a) && is_nan(b));
}

template <typename Half>
Half half_of(uint16_t bits) { return std::bit_cast<Half>(bits); }

template <typename Half, typename Reference>
void expect_binary(std::string_view opcode, bool bf16, Reference reference) {
  One one(opcode, "b16", {"b16", "b16"});
  for (const uint16_t a : interesting_halves()) {
    for (const uint16_t b : interesting_halves()) {
      const uint16_t expected = std::bit_cast<uint16_t>(static_cast<Half>(reference(half_of<Half>(a), half_of<Half>(b))));
      const uint16_t got = one.run<uint16_t>(a, b);
      ASSERT_TRUE(same_half(got, expected, bf16)) << opcode << std::hex << " " << a << " " << b << ": " << got << ", not " << expected;
    }
  }
}

TEST(PtxArithmeticTest, AddsAndMultipliesHalvesAsTheHeadersDo) {
  expect_binary<__half>("add.f16", false, [](__half a, __half b) { return __hadd(a, b); });
  expect_binary<__half>("sub.f16", false, [](__half a, __half b) { return __hsub(a, b); });
  expect_binary<__half>("mul.f16", false, [](__half a, __half b) { return __hmul(a, b); });
  expect_binary<__half>("max.f16", false, [](__half a, __half b) { return __hmax(a, b); });
  expect_binary<__half>("min.f16", false, [](__half a, __half b) { return __hmin(a, b); });
  expect_binary<__nv_bfloat16>("add.bf16", true, [](__nv_bfloat16 a, __nv_bfloat16 b) { return __hadd(a, b); });
  expect_binary<__nv_bfloat16>("mul.bf16", true, [](__nv_bfloat16 a, __nv_bfloat16 b) { return __hmul(a, b); });
  expect_binary<__nv_bfloat16>("max.bf16", true, [](__nv_bfloat16 a, __nv_bfloat16 b) { return __hmax(a, b); });
}

/// Exactly: products and sums of 16-bit floats fit 128-bit numbers scaled by 2^-300 only for f16, so f16 is tried in long double, whose 64 bits hold them where it matters.
TEST(PtxArithmeticTest, RoundsAFusedMultiplyAddOnce) {
  One f16("fma.rn.f16", "b16", {"b16", "b16", "b16"});
  One bf16("fma.rn.bf16", "b16", {"b16", "b16", "b16"});
  std::mt19937 random(11);
  for (int k = 0; k < 20000; ++k) {
    const auto a = static_cast<uint16_t>(random()), b = static_cast<uint16_t>(random()), c = static_cast<uint16_t>(random());
    const double exact = std::fma(decode(kF16Format, a), decode(kF16Format, b), decode(kF16Format, c));  // 22 + 11 bits apart by at most 2^63
    const long double longer = static_cast<long double>(decode(kF16Format, a)) * decode(kF16Format, b) + decode(kF16Format, c);
    if (static_cast<long double>(exact) == longer) {
      ASSERT_TRUE(same_half(f16.run<uint16_t>(a, b, c), static_cast<uint16_t>(encode(kF16Format, exact)), false)) << a << " " << b << " " << c;
    }
  }
  // A product half way between two bf16 numbers, and an addend far below a double's last bit: the addend decides.
  const uint16_t a = float_to_bf16(1 + 1 / 128.0f), b = float_to_bf16(1 + 1 / 2.0f);  // 1.51171875, between 1.5078125 and 1.515625
  const uint16_t tiny = float_to_bf16(0x1p-100f), minus = float_to_bf16(-0x1p-100f);
  EXPECT_EQ(bf16_to_float(bf16.run<uint16_t>(a, b, tiny)), 1.515625f);
  EXPECT_EQ(bf16_to_float(bf16.run<uint16_t>(a, b, minus)), 1.5078125f);
}

TEST(PtxArithmeticTest, ConvertsAsTheHeadersDo) {
  One to_f16("cvt.rn.f16.f32", "b16", {"f32"}), to_bf16("cvt.rn.bf16.f32", "b16", {"f32"}), to_f16_down("cvt.rm.f16.f32", "b16", {"f32"});
  One to_f16_zero("cvt.rz.f16.f32", "b16", {"f32"}), from_f16("cvt.f32.f16", "f32", {"b16"}), from_bf16("cvt.f32.bf16", "f32", {"b16"});
  One to_e4m3("cvt.rn.satfinite.e4m3x2.f32", "b16", {"f32", "f32"}), to_e5m2("cvt.rn.satfinite.e5m2x2.f32", "b16", {"f32", "f32"});
  One from_e4m3("cvt.rn.f16x2.e4m3x2", "b32", {"b16"}), from_e5m2("cvt.rn.f16x2.e5m2x2", "b32", {"b16"});
  std::mt19937 random(3);
  for (int k = 0; k < 20000; ++k) {
    // Half of them near the range of the small formats.
    const uint32_t bits = static_cast<uint32_t>(random());
    const float x = k % 2 ? std::bit_cast<float>(bits) : std::ldexp(1 + static_cast<float>(bits & 0xFFFFF) * 0x1p-20f, static_cast<int>(bits >> 20 & 63) - 40) * (bits >> 31 ? -1.0f : 1.0f);
    ASSERT_TRUE(same_half(to_f16.run<uint16_t>(x), std::bit_cast<uint16_t>(__float2half_rn(x)), false)) << x;
    ASSERT_TRUE(same_half(to_f16_zero.run<uint16_t>(x), std::bit_cast<uint16_t>(__float2half_rz(x)), false)) << x;
    ASSERT_TRUE(same_half(to_f16_down.run<uint16_t>(x), std::bit_cast<uint16_t>(__float2half_rd(x)), false)) << x;
    ASSERT_TRUE(same_half(to_bf16.run<uint16_t>(x), std::bit_cast<uint16_t>(__float2bfloat16_rn(x)), true)) << x;
    const uint16_t e4m3 = to_e4m3.run<uint16_t>(x, 1.0f), e5m2 = to_e5m2.run<uint16_t>(1.0f, x);
    if (!std::isnan(x)) {
      ASSERT_EQ(e4m3 >> 8, __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3)) << x;
      ASSERT_EQ(e5m2 & 0xFF, __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2)) << x;
    }
  }
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float expected = __half2float(half_of<__half>(half)), got = from_f16.run<float>(half);
    ASSERT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected))) << bits;
    const float wide = __bfloat162float(half_of<__nv_bfloat16>(half)), wide_got = from_bf16.run<float>(half);
    ASSERT_TRUE(wide_got == wide || (std::isnan(wide_got) && std::isnan(wide))) << bits;
  }
  for (uint16_t bits = 0; bits < 256; ++bits) {
    const uint16_t e4m3 = __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(bits), __NV_E4M3).x, e5m2 = __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(bits), __NV_E5M2).x;
    ASSERT_TRUE(same_half(static_cast<uint16_t>(from_e4m3.run<uint32_t>(bits)), e4m3, false)) << bits;
    ASSERT_TRUE(same_half(static_cast<uint16_t>(from_e5m2.run<uint32_t>(static_cast<uint16_t>(bits << 8)) >> 16), e5m2, false)) << bits;
  }
}

TEST(PtxArithmeticTest, ConvertsFloatsToIntegersAndClamps) {
  EXPECT_EQ(One("cvt.rni.s32.f32", "b32", {"f32"}).run<int32_t>(2.5f), 2);
  EXPECT_EQ(One("cvt.rzi.s32.f32", "b32", {"f32"}).run<int32_t>(-2.9f), -2);
  EXPECT_EQ(One("cvt.rmi.s32.f32", "b32", {"f32"}).run<int32_t>(-2.1f), -3);
  EXPECT_EQ(One("cvt.rpi.s32.f32", "b32", {"f32"}).run<int32_t>(2.1f), 3);
  EXPECT_EQ(One("cvt.rni.s32.f32", "b32", {"f32"}).run<int32_t>(3e9f), INT32_MAX);
  EXPECT_EQ(One("cvt.rzi.u32.f32", "b32", {"f32"}).run<uint32_t>(-1.0f), 0u);
  EXPECT_EQ(One("cvt.rzi.s32.f32", "b32", {"f32"}).run<int32_t>(NAN), 0);
  EXPECT_EQ(One("cvt.rni.f32.f32", "f32", {"f32"}).run<float>(-2.5f), -2.0f);
  EXPECT_EQ(One("cvt.sat.f32.f32", "f32", {"f32"}).run<float>(1.5f), 1.0f);
  EXPECT_EQ(One("cvt.s64.s32", "b64", {"b32"}).run<int64_t>(-5), -5);
  EXPECT_EQ(One("cvt.u64.u32", "b64", {"b32"}).run<uint64_t>(-5), 0xFFFFFFFBu);
  EXPECT_EQ(One("cvt.s32.s8", "b32", {"b32"}).run<int32_t>(0xF0), -16);
  EXPECT_EQ(One("cvt.sat.s8.s32", "b32", {"b32"}).run<int32_t>(300), 127);
}

TEST(PtxArithmeticTest, WorksOnIntegersOfEveryWidth) {
  std::mt19937_64 random(5);
  One mul_hi("mul.hi.u32", "b32", {"b32", "b32"}), mul_wide("mul.wide.s32", "b64", {"b32", "b32"}), mad("mad.lo.s32", "b32", {"b32", "b32", "b32"});
  One mul_hi64("mul.hi.s64", "b64", {"b64", "b64"}), rem("rem.s32", "b32", {"b32", "b32"}), shr("shr.s32", "b32", {"b32", "b32"}), shl("shl.b64", "b64", {"b64", "b32"});
  One popc("popc.b32", "b32", {"b32"}), clz("clz.b64", "b32", {"b64"}), brev("brev.b32", "b32", {"b32"}), bfind("bfind.shiftamt.u32", "b32", {"b32"}), sad("sad.s32", "b32", {"b32", "b32", "b32"});
  One prmt("prmt.b32", "b32", {"b32", "b32", "b32"}), funnel("shf.l.wrap.b32", "b32", {"b32", "b32", "b32"}), bfe("bfe.s32", "b32", {"b32", "b32", "b32"});
  for (int k = 0; k < 2000; ++k) {
    const auto x = static_cast<int32_t>(random()), y = static_cast<int32_t>(random());
    const auto ux = static_cast<uint32_t>(x), uy = static_cast<uint32_t>(y);
    const auto lx = static_cast<int64_t>(random()), ly = static_cast<int64_t>(random());
    ASSERT_EQ(mul_hi.run<uint32_t>(ux, uy), static_cast<uint32_t>(static_cast<uint64_t>(ux) * uy >> 32));
    ASSERT_EQ(mul_wide.run<int64_t>(x, y), static_cast<int64_t>(x) * y);
    ASSERT_EQ(mad.run<uint32_t>(ux, uy, ux), ux * uy + ux);
    ASSERT_EQ(mul_hi64.run<int64_t>(lx, ly), static_cast<int64_t>(static_cast<__int128>(lx) * ly >> 64));
    const int32_t divisor = y == 0 || y == -1 ? 3 : y;
    ASSERT_EQ(rem.run<int32_t>(x, divisor), x % divisor);
    ASSERT_EQ(shr.run<int32_t>(x, uy & 63), x >> std::min(uy & 63, 31u));
    ASSERT_EQ(shl.run<uint64_t>(lx, uy & 127), (uy & 127) > 63 ? 0 : static_cast<uint64_t>(lx) << (uy & 127));
    ASSERT_EQ(popc.run<uint32_t>(ux), static_cast<uint32_t>(std::popcount(ux)));
    ASSERT_EQ(clz.run<uint32_t>(lx >> (uy & 63)), static_cast<uint32_t>(std::countl_zero(static_cast<uint64_t>(lx >> (uy & 63)))));
    uint32_t reversed = 0;
    for (int b = 0; b < 32; ++b) reversed = reversed << 1 | (ux >> b & 1);
    ASSERT_EQ(brev.run<uint32_t>(ux), reversed);
    ASSERT_EQ(bfind.run<uint32_t>(ux | 1), static_cast<uint32_t>(std::countl_zero(ux | 1)));
    ASSERT_EQ(sad.run<uint32_t>(x, y, 7), 7 + static_cast<uint32_t>(std::abs(static_cast<int64_t>(x) - y)));
    ASSERT_EQ(prmt.run<uint32_t>(ux, uy, 0x5410u), (ux & 0xFFFF) | uy << 16);
    ASSERT_EQ(prmt.run<uint32_t>(ux, uy, 0x0123u), __builtin_bswap32(ux));
    ASSERT_EQ(funnel.run<uint32_t>(ux, uy, 8u), uy << 8 | ux >> 24);
    ASSERT_EQ(bfe.run<int32_t>(x, 4u, 8u), static_cast<int8_t>(x >> 4));
  }
  EXPECT_EQ(One("prmt.b32", "b32", {"b32", "b32", "b32"}).run<uint32_t>(0x80u, 0u, 0x8888u), 0xFFFFFFFFu);
}

/// lop3 and bfi with their immediates, carries over several registers: a little program.
TEST(PtxArithmeticTest, CarriesFromInstructionToInstruction) {
  One sum("{.reg .b32 l0,l1,h0,h1; mov.b64 {l0,h0}, %a0; mov.b64 {l1,h1}, %a1; add.cc.u32 l0, l0, l1; addc.u32 h0, h0, h1; mov.b64 %d, {l0,h0};} //", "b64", {"b64", "b64"});
  One difference("{.reg .b32 l0,l1,h0,h1; mov.b64 {l0,h0}, %a0; mov.b64 {l1,h1}, %a1; sub.cc.u32 l0, l0, l1; subc.u32 h0, h0, h1; mov.b64 %d, {l0,h0};} //", "b64", {"b64", "b64"});
  One majority("lop3.b32 %d, %a0, %a1, %a2, 0xE8; //", "b32", {"b32", "b32", "b32"});
  One insert("bfi.b32 %d, %a0, %a1, 8, 4; //", "b32", {"b32", "b32"});
  std::mt19937_64 random(9);
  for (int k = 0; k < 1000; ++k) {
    const uint64_t a = random(), b = random(), c = random();
    ASSERT_EQ(sum.run<uint64_t>(a, b), a + b);
    ASSERT_EQ(difference.run<uint64_t>(a, b), a - b);
    ASSERT_EQ(majority.run<uint32_t>(static_cast<uint32_t>(a), static_cast<uint32_t>(b), static_cast<uint32_t>(c)), static_cast<uint32_t>((a & b) | (b & c) | (a & c)));
    ASSERT_EQ(insert.run<uint32_t>(static_cast<uint32_t>(a), static_cast<uint32_t>(b)), static_cast<uint32_t>((b & ~0xF00ull) | (a & 15) << 8));
  }
}

TEST(PtxArithmeticTest, RoundsFloatsAsAsked) {
  const float a = 1.0f, b = 0x1p-30f;
  EXPECT_EQ(One("add.rn.f32", "f32", {"f32", "f32"}).run<float>(a, b), 1.0f);
  EXPECT_EQ(One("add.rp.f32", "f32", {"f32", "f32"}).run<float>(a, b), std::nextafter(1.0f, 2.0f));
  EXPECT_EQ(One("fma.rz.f32", "f32", {"f32", "f32", "f32"}).run<float>(a, a, -b), std::nextafter(1.0f, 0.0f));
  EXPECT_EQ(One("mul.ftz.f32", "f32", {"f32", "f32"}).run<float>(0x1p-100f, 0x1p-40f), 0.0f);
  EXPECT_EQ(One("add.sat.f32", "f32", {"f32", "f32"}).run<float>(3.0f, 1.0f), 1.0f);
  EXPECT_EQ(One("min.f32", "f32", {"f32", "f32"}).run<float>(NAN, 1.0f), 1.0f);
  EXPECT_TRUE(std::isnan(One("min.NaN.f32", "f32", {"f32", "f32"}).run<float>(NAN, 1.0f)));
  EXPECT_EQ(One("ex2.approx.ftz.f32", "f32", {"f32"}).run<float>(-3.0f), 0.125f);
  EXPECT_EQ(One("div.rn.f64", "f64", {"f64", "f64"}).run<double>(1.0, 3.0), 1.0 / 3.0);
}

}  // namespace
}  // namespace cudasim::ptx
