// exp, exp2, silu, gelu, tanh and log for kernels that are templates over a Lanes type (lanes.h): own polynomials, so that
// every ISA and every libm yields the same bits. Included by ISA-specific files.
#pragma once

#include "kernels/cpu/lanes.h"

namespace terrace {
namespace {

/// e^x within 2 ulp for x <= 88.3. Below -86.6 the result is 0; NaN stays NaN.
template <class Lanes>
Lanes exp_below(Lanes x) {
  // x = n ln2 + r, |r| <= ln2 / 2; e^r = 1 + r + r^2 q(r), q of degree 4 through the Chebyshev nodes of that interval
  // (relative error 1e-8). Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const Lanes rounder = Lanes::broadcast(0x1.8p23f);
  const Lanes shifted = Lanes::fma(x, Lanes::broadcast(0x1.715476p0f), rounder);
  const Lanes n = shifted - rounder;
  Lanes r = Lanes::fma(n, Lanes::broadcast(-0x1.62e4p-1f), x);  // ln2 in two parts; n times the first is exact
  r = Lanes::fma(n, Lanes::broadcast(-0x1.7f7d1cp-20f), r);
  Lanes q = Lanes::broadcast(0x1.6d10fcp-10f);
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.120b62p-7f));
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.55551ap-5f));
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.5554dep-3f));
  q = Lanes::fma(q, r, Lanes::broadcast(0.5f));
  const Lanes mantissa = Lanes::fma(q, r * r, r) + Lanes::broadcast(1.0f);
  return Lanes::zero_if_less(x, Lanes::broadcast(-86.6f), Lanes::scale_by_exponent(mantissa, shifted));
}

/// As exp_below(), and infinity for x > 88.3.
template <class Lanes>
Lanes exp(Lanes x) {
  return Lanes::select_less(Lanes::broadcast(88.3f), x, Lanes::broadcast(__builtin_inff()), exp_below(x));
}

/// For x <= 0.
template <class Lanes>
float exp_one(float x) {
  return exp_below(Lanes::broadcast(x)).first();
}

/// x / (1 + e^-x).
template <class Lanes>
Lanes silu(Lanes x) {
  return x / (Lanes::broadcast(1.0f) + exp(Lanes::zero() - x));
}

/// x / 2 (1 + tanh u) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x / (1 + e^-2u): nothing cancels where x is
/// far below zero.
template <class Lanes>
Lanes gelu_tanh(Lanes x) {
  const Lanes minus_2u =
      x * Lanes::fma(x * x, Lanes::broadcast(-0.0713548162726f), Lanes::broadcast(-1.5957691216057f));
  return x / (Lanes::broadcast(1.0f) + exp(minus_2u));
}

/// Hyperbolic tangent within 3 ulp; NaN stays NaN.
template <class Lanes>
Lanes tanh(Lanes x) {
  const Lanes size = Lanes::max(x, Lanes::zero() - x);
  // Below 5/8: x + x^3 p(x^2), p of degree 4 through the Chebyshev nodes of that interval (relative error 2e-8). Above, 1 - 2 / (e^2x + 1)
  // is at least 1/2 and loses nothing.
  const Lanes square = x * x;
  Lanes p = Lanes::broadcast(-0x1.8f8de4p-8f);
  p = Lanes::fma(p, square, Lanes::broadcast(0x1.58048ep-6f));
  p = Lanes::fma(p, square, Lanes::broadcast(-0x1.b9258ap-5f));
  p = Lanes::fma(p, square, Lanes::broadcast(0x1.110e1cp-3f));
  p = Lanes::fma(p, square, Lanes::broadcast(-0x1.555552p-2f));
  const Lanes small = Lanes::fma(x * square, p, x);
  const Lanes one = Lanes::broadcast(1.0f);
  const Lanes large = one - Lanes::broadcast(2.0f) / (exp(size + size) + one);
  const Lanes of_sign = Lanes::select_less(x, Lanes::zero(), Lanes::zero() - large, large);
  return Lanes::select_less(size, Lanes::broadcast(0.625f), small, of_sign);
}

/// 2^x within 3e-7 of it for -125 <= x <= 127.
template <class Lanes>
Lanes exp2_normal(Lanes x) {
  const Lanes rounder = Lanes::broadcast(0x1.8p23f);
  const Lanes shifted = x + rounder;
  const Lanes r = x - (shifted - rounder);  // exact, |r| <= 1/2; 2^r = 1 + r q(r), q through Chebyshev nodes (relative error 1.8e-7)
  Lanes q = Lanes::broadcast(0x1.5ed55ep-10f);
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.3ccfc2p-7f));
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.c6afe0p-5f));
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.ebfa2ap-3f));
  q = Lanes::fma(q, r, Lanes::broadcast(0x1.62e430p-1f));
  return Lanes::scale_by_exponent(Lanes::fma(q, r, Lanes::broadcast(1.0f)), shifted);
}

/// Natural logarithms of normal positive numbers, within 3e-7 of 1 or of the logarithm, whichever is larger; NaN of NaN.
template <class Lanes>
Lanes log(Lanes x) {
  float exponent[kLanes], mantissa[kLanes];
  x.store(mantissa);
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, mantissa[i]);
    const uint32_t above = bits - 0x3f3504f3u;  // from sqrt(1/2): so that mantissas are between that and sqrt(2)
    const uint32_t whole = above & 0xff800000u;
    exponent[i] = static_cast<float>(static_cast<int32_t>(whole) >> 23);
    mantissa[i] = bits > 0x7f800000u ? mantissa[i] : __builtin_bit_cast(float, bits - whole);
  }
  const Lanes one = Lanes::broadcast(1.0f), m = Lanes::load(mantissa), e = Lanes::load(exponent);
  const Lanes z = (m - one) / (m + one), square = z * z;  // log m = 2 atanh z, |z| < 0.172
  Lanes series = Lanes::broadcast(1.0f / 9);
  series = Lanes::fma(series, square, Lanes::broadcast(1.0f / 7));
  series = Lanes::fma(series, square, Lanes::broadcast(1.0f / 5));
  series = Lanes::fma(series, square, Lanes::broadcast(1.0f / 3));
  series = Lanes::fma(series, square, one);
  const Lanes twice = z + z;
  return Lanes::fma(e, Lanes::broadcast(0x1.62e4p-1f), Lanes::fma(e, Lanes::broadcast(0x1.7f7d1cp-20f), twice * series));
}

}  // namespace
}  // namespace terrace
