#pragma once

// One vector type per instruction set. Include this inside the region of isa_begin.h; it includes no standard header,
// and every name lies in the namespace of the instruction set, so that no function compiled for a wide target can be
// merged with one of the same name compiled for a narrow target.
//
// VecF: kWidth floats (16, 8 or 8).  VecD: one double, for the f64 checks; same interface, so that a kernel is one
// template over V with elements V::Element. Mask: the result of a comparison, one per lane.
//
//   V(x), V::iota()           every lane x; 0, 1, 2, …
//   V::load(p), v.store(p)    kWidth elements, unaligned
//   V::load(p, n)             the first n (0 ≤ n ≤ kWidth), the other lanes 0; memory past them is not read
//   v.store(p, n)             the first n; memory past them is not written
//   + - * / += -= *=          lane by lane
//   fma(a, b, c)              a·b + c, and fnma(a, b, c) = c − a·b: rounded once on avx2 and avx512, twice on portable
//   min(a, b), max(a, b)      b where either is NaN
//   sqrt, abs, round          round: to nearest, ties to even, for |a| < 2²²
//   < <= > >= ==, is_nan(a)   give a V::Mask
//   V::first(n)               mask of the first n lanes
//   select(mask, a, b)        a where mask, else b
//   sum(a), max_lane(a)       over lanes, halving: lane i with lane i + kWidth/2 and so on, the same order every time
//   scale2(a, n)              a · 2ⁿ for |a| in [½, 2] and whole n in [−252, 252], rounded once, denormals included
//   scale2_normal(a, n)       the same where the result is normal
//   DoubleSum<V>              add_product(a, b), total(): a sum of products in double
//
// Elements are float or bfloat16 for VecF (stores round to nearest, ties to even; NaN stays NaN), double for VecD.

#define TESSERA_INLINE inline __attribute__((always_inline))

namespace tessera::cpu::TESSERA_ISA {
/// Σ a·b over all lanes of all calls, accumulated in double.
template <class V>
struct DoubleSum;
}  // namespace tessera::cpu::TESSERA_ISA

#if defined(TESSERA_ISA_AVX512)
#include "engine/cpu/simd/simd_avx512.h"
#elif defined(TESSERA_ISA_AVX2)
#include "engine/cpu/simd/simd_avx2.h"
#else
#include "engine/cpu/simd/simd_portable.h"
#endif

namespace tessera::cpu::TESSERA_ISA {

/// One double with VecF's interface.
struct VecD {
  using Element = double;
  using Mask = bool;
  static constexpr int kWidth = 1;
  double v;

  VecD() = default;
  TESSERA_INLINE explicit VecD(double x) : v(x) {}
  static TESSERA_INLINE VecD iota() { return VecD(0.0); }
  static TESSERA_INLINE Mask first(int n) { return n > 0; }
  static TESSERA_INLINE VecD load(const double* p) { return VecD(*p); }
  static TESSERA_INLINE VecD load(const double* p, int n) { return VecD(n > 0 ? *p : 0.0); }
  TESSERA_INLINE void store(double* p) const { *p = v; }
  TESSERA_INLINE void store(double* p, int n) const {
    if (n > 0) *p = v;
  }
};
TESSERA_INLINE VecD operator+(VecD a, VecD b) { return VecD(a.v + b.v); }
TESSERA_INLINE VecD operator-(VecD a, VecD b) { return VecD(a.v - b.v); }
TESSERA_INLINE VecD operator*(VecD a, VecD b) { return VecD(a.v * b.v); }
TESSERA_INLINE VecD operator/(VecD a, VecD b) { return VecD(a.v / b.v); }
TESSERA_INLINE VecD operator-(VecD a) { return VecD(-a.v); }
TESSERA_INLINE bool operator<(VecD a, VecD b) { return a.v < b.v; }
TESSERA_INLINE bool operator<=(VecD a, VecD b) { return a.v <= b.v; }
TESSERA_INLINE bool operator==(VecD a, VecD b) { return a.v == b.v; }
TESSERA_INLINE bool is_nan(VecD a) { return a.v != a.v; }
TESSERA_INLINE VecD fma(VecD a, VecD b, VecD c) { return VecD(a.v * b.v + c.v); }
TESSERA_INLINE VecD fnma(VecD a, VecD b, VecD c) { return VecD(c.v - a.v * b.v); }
TESSERA_INLINE VecD min(VecD a, VecD b) { return VecD(a.v < b.v ? a.v : b.v); }
TESSERA_INLINE VecD max(VecD a, VecD b) { return VecD(a.v > b.v ? a.v : b.v); }
TESSERA_INLINE VecD sqrt(VecD a) { return VecD(__builtin_sqrt(a.v)); }
TESSERA_INLINE VecD abs(VecD a) { return VecD(__builtin_fabs(a.v)); }
TESSERA_INLINE VecD round(VecD a) { return VecD(__builtin_nearbyint(a.v)); }
TESSERA_INLINE VecD scale2(VecD a, VecD n) { return VecD(__builtin_scalbn(a.v, static_cast<int>(n.v))); }
TESSERA_INLINE VecD select(bool mask, VecD a, VecD b) { return mask ? a : b; }
TESSERA_INLINE double sum(VecD a) { return a.v; }
TESSERA_INLINE double max_lane(VecD a) { return a.v; }

template <>
struct DoubleSum<VecD> {
  double sum = 0;
  TESSERA_INLINE void add_product(VecD a, VecD b) { sum += a.v * b.v; }
  [[nodiscard]] TESSERA_INLINE double total() const { return sum; }
};

template <class V>
TESSERA_INLINE auto operator>(V a, V b) -> decltype(b < a) {
  return b < a;
}
template <class V>
TESSERA_INLINE auto operator>=(V a, V b) -> decltype(b <= a) {
  return b <= a;
}
template <class V>
TESSERA_INLINE auto operator+=(V& a, V b) -> decltype(a = a + b) {
  return a = a + b;
}
template <class V>
TESSERA_INLINE auto operator-=(V& a, V b) -> decltype(a = a - b) {
  return a = a - b;
}
template <class V>
TESSERA_INLINE auto operator*=(V& a, V b) -> decltype(a = a * b) {
  return a = a * b;
}

/// The vector that computes on elements of type T: VecD for double, VecF for float and bfloat16.
template <class T>
struct VecOf {
  using Type = VecF;
};
template <>
struct VecOf<double> {
  using Type = VecD;
};

TESSERA_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
TESSERA_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace tessera::cpu::TESSERA_ISA
