// exp, silu, gelu, tanh and log for kernels that are templates over a Lanes type (lanes.h): own polynomials, so that
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

/// e^x within 2^-13 of itself for -86.6 <= x <= 88; below, e^-86.6. NaN stays NaN.
template <class Lanes>
Lanes rough_exp_below(Lanes x) {
  // 2^(n + r), |r| <= 1/2, by a polynomial of degree 3 through the Chebyshev nodes of that interval.
  const Lanes log2_e = Lanes::broadcast(0x1.715476p0f);
  const Lanes rounder = Lanes::broadcast(0x1.8p23f);
  x = Lanes::max(Lanes::broadcast(-86.6f), x);
  const Lanes shifted = Lanes::fma(x, log2_e, rounder);
  const Lanes r = Lanes::fma(x, log2_e, rounder - shifted);
  Lanes p = Lanes::broadcast(0x1.c96d5ep-5f);
  p = Lanes::fma(p, r, Lanes::broadcast(0x1.f0ecf8p-3f));
  p = Lanes::fma(p, r, Lanes::broadcast(0x1.62e2d2p-1f));
  p = Lanes::fma(p, r, Lanes::broadcast(0x1.fff61cp-1f));
  return Lanes::scale_by_exponent(p, shifted);
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

/// Natural logarithm of a normal positive number, correctly rounded but for a few cases. Scalar: once per row and
/// piece.
template <class Lanes>
float log_one(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  int exponent = static_cast<int>(bits >> 23) - 127;
  double mantissa = static_cast<double>(__builtin_bit_cast(float, (bits & 0x7fffffu) | 0x3f800000u));
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double z = (mantissa - 1.0) / (mantissa + 1.0);  // log m = 2 atanh z, |z| < 0.172
  const double z2 = z * z;
  const double series = 1.0 + z2 * (1.0 / 3 + z2 * (1.0 / 5 + z2 * (1.0 / 7 + z2 * (1.0 / 9 + z2 * (1.0 / 11)))));
  return static_cast<float>(exponent * 0.69314718055994531 + 2.0 * z * series);
}

}  // namespace
}  // namespace terrace
