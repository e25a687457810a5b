#pragma once

// Functions of VecF and VecD. Include inside the region of isa_begin.h, after simd.h; engine/cuda/gpu_math.h includes
// it after types of its own. The coefficients come from fit_coefficients.py; the stated errors are the largest over all
// floats (or the stated range), measured by tests/engine/simd_test.cpp. VecD calls the C library. A product of an
// argument with a rounded constant is amplified by exp: errors that grow with |x| say so.

namespace tessera::cpu::TESSERA_ISA {

/// c[0] + c[1] x + … by Horner's rule; count is a constant, so the loop unrolls away.
template <int count>
TESSERA_INLINE VecF polynomial(VecF x, const float (&c)[count]) {
  VecF r(c[count - 1]);
#if !defined(__CUDACC__)  // nvcc unrolls a loop of a constant length unasked, and refuses this pragma
#pragma GCC unroll 16
#endif
  for (int i = count - 2; i >= 0; --i) r = fma(r, x, VecF(c[i]));
  return r;
}

/// eˣ for −150 ≤ x ≤ 89 or NaN; with `normal` for |x| ≤ 86, where no result is denormal.
template <bool normal = false>
TESSERA_INLINE VecF exp_in_range(VecF x) {
  constexpr float kExp[] = {0.49999994f, 0.166665211f, 0.041668389f, 0.00836871658f, 0.00138145988f};
  // x = n ln 2 + r. ln 2 in two parts, the first so short that its products with n are exact.
  const VecF n = round(x * VecF(1.44269504f));
  const VecF r = fnma(n, VecF(-2.12194440e-4f), fnma(n, VecF(0.693359375f), x));
  const VecF p = fma(r * r, polynomial(r, kExp), r) + VecF(1.0f);
  return normal ? scale2_normal(p, n) : scale2(p, n);
}

/// eˣ within 1.02 ulp (over all floats); +inf above 88.7228, gradual underflow to 0 below −87.3; exp(−inf) = 0,
/// exp(NaN) = NaN.
TESSERA_INLINE VecF exp(VecF x) { return exp_in_range(min(VecF(89.0f), max(VecF(-104.0f), x))); }
TESSERA_INLINE VecD exp(VecD x) { return VecD(__builtin_exp(x.v)); }

/// Φ(x), and φ(x) in `pdf`, both within (4 + x²/2) ulp for −13 ≤ x ≤ 0, Φ within 2.5 ulp for x > 0. The tail is
/// Φ(−a) = e^(−a²/2) p(a)/q(a), so that nothing cancels. Beyond |x| = 13, where it becomes denormal and a processor
/// takes many times as long, φ and the tail are 0.
TESSERA_INLINE VecF normal_cdf(VecF x, VecF& pdf) {
  constexpr float kTop[] = {0.5f, 0.43829596f, 0.183235928f, 0.0406335033f, 0.00411635265f};
  constexpr float kBottom[] = {1.0f, 1.67447698f, 1.2025063f, 0.469472736f, 0.101859532f, 0.0103180464f};
  const auto beyond = abs(x) > VecF(13.0f);
  const VecF a = select(beyond, VecF(0.0f), abs(x));
  // The quotient does not wait for the exponential, which takes as long.
  const VecF ratio = polynomial(a, kTop) / polynomial(a, kBottom);
  const VecF e = select(beyond, VecF(0.0f), exp_in_range<true>(a * a * VecF(-0.5f)));
  pdf = e * VecF(0.398942280f);
  const VecF tail = e * ratio;
  return select(x < VecF(0.0f), tail, VecF(1.0f) - tail);
}
TESSERA_INLINE VecD normal_cdf(VecD x, VecD& pdf) {
  pdf = VecD(0.39894228040143267794 * __builtin_exp(-0.5 * x.v * x.v));
  return VecD(0.5 * __builtin_erfc(-0.70710678118654752440 * x.v));
}

/// 1 / (1 + e^(−x)) within 2 ulp; 0 below −88.7.
template <class V>
TESSERA_INLINE V sigmoid(V x) {
  return V(1.0) / (V(1.0) + exp(-x));
}

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/ops/functors.h"
