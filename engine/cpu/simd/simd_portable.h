#pragma once

// VecF by the compiler's vector extension: two registers of four floats, as SSE2 and NEON have them. (One vector of
// eight would be split by the compiler, which takes some operations apart lane by lane.) See simd.h for the interface.
namespace tessera::cpu::TESSERA_ISA {

using Float4 = float __attribute__((vector_size(16)));
using Double4 = double __attribute__((vector_size(32)));
using Int4 = int32_t __attribute__((vector_size(16)));
using Uint4 = uint32_t __attribute__((vector_size(16)));
using Half4 = uint16_t __attribute__((vector_size(8)));
using Half8 = uint16_t __attribute__((vector_size(16)));

struct MaskF {
  Int4 low, high;
};

struct VecF {
  using Element = float;
  using Mask = MaskF;
  static constexpr int kWidth = 8;
  Float4 low, high;

  VecF() = default;
  TESSERA_INLINE VecF(Float4 l, Float4 h) : low(l), high(h) {}
  TESSERA_INLINE explicit VecF(float x) : low{x, x, x, x}, high{x, x, x, x} {}
  TESSERA_INLINE explicit VecF(double x) : VecF(static_cast<float>(x)) {}
  static TESSERA_INLINE VecF iota() { return {Float4{0, 1, 2, 3}, Float4{4, 5, 6, 7}}; }
  static TESSERA_INLINE Mask first(int n) {
    const Int4 count{n, n, n, n};
    return {Int4{0, 1, 2, 3} < count, Int4{4, 5, 6, 7} < count};
  }

  static TESSERA_INLINE VecF load(const float* p) {
    VecF r;
    __builtin_memcpy(&r.low, p, sizeof(r.low));
    __builtin_memcpy(&r.high, p + 4, sizeof(r.high));
    return r;
  }
  static TESSERA_INLINE VecF load(const float* p, int n) {
    float lanes[8] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  static TESSERA_INLINE VecF load(const bfloat16* p) { return {widen(p), widen(p + 4)}; }
  static TESSERA_INLINE VecF load(const bfloat16* p, int n) {
    bfloat16 lanes[8];
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  TESSERA_INLINE void store(float* p) const {
    __builtin_memcpy(p, &low, sizeof(low));
    __builtin_memcpy(p + 4, &high, sizeof(high));
  }
  TESSERA_INLINE void store(float* p, int n) const {
    float lanes[8];
    store(lanes);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  TESSERA_INLINE void store(bfloat16* p) const {
    const Half8 x = narrow();
    __builtin_memcpy(static_cast<void*>(p), &x, sizeof(x));
  }
  TESSERA_INLINE void store(bfloat16* p, int n) const {
    bfloat16 lanes[8];
    store(lanes);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }

  /// The lanes as bfloat16.
  [[nodiscard]] TESSERA_INLINE Half8 narrow() const {
    const Half8 a = __builtin_bit_cast(Half8, rounded(low));
    const Half8 b = __builtin_bit_cast(Half8, rounded(high));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#endif
  }

 private:
  static TESSERA_INLINE Float4 widen(const bfloat16* p) {
    Half4 x;
    __builtin_memcpy(&x, p, sizeof(x));
    return __builtin_bit_cast(Float4, __builtin_convertvector(x, Uint4) << 16);
  }
  /// The bits of a bfloat16 in the upper halves.
  static TESSERA_INLINE Uint4 rounded(Float4 x) {
    const Uint4 u = __builtin_bit_cast(Uint4, x);
    const Uint4 nan = __builtin_bit_cast(Uint4, x != x);
    return (nan & (u | 0x400000u)) | (~nan & (u + 0x7fffu + ((u >> 16) & 1u)));
  }
};

TESSERA_INLINE VecF operator+(VecF a, VecF b) { return {a.low + b.low, a.high + b.high}; }
TESSERA_INLINE VecF operator-(VecF a, VecF b) { return {a.low - b.low, a.high - b.high}; }
TESSERA_INLINE VecF operator*(VecF a, VecF b) { return {a.low * b.low, a.high * b.high}; }
TESSERA_INLINE VecF operator/(VecF a, VecF b) { return {a.low / b.low, a.high / b.high}; }
TESSERA_INLINE VecF operator-(VecF a) { return {-a.low, -a.high}; }
TESSERA_INLINE MaskF operator<(VecF a, VecF b) { return {a.low < b.low, a.high < b.high}; }
TESSERA_INLINE MaskF operator<=(VecF a, VecF b) { return {a.low <= b.low, a.high <= b.high}; }
TESSERA_INLINE MaskF operator==(VecF a, VecF b) { return {a.low == b.low, a.high == b.high}; }
TESSERA_INLINE MaskF is_nan(VecF a) { return {a.low != a.low, a.high != a.high}; }
TESSERA_INLINE VecF fma(VecF a, VecF b, VecF c) { return a * b + c; }
TESSERA_INLINE VecF fnma(VecF a, VecF b, VecF c) { return c - a * b; }

TESSERA_INLINE Float4 select4(Int4 m, Float4 a, Float4 b) {
  return __builtin_bit_cast(Float4, (m & __builtin_bit_cast(Int4, a)) | (~m & __builtin_bit_cast(Int4, b)));
}
TESSERA_INLINE VecF select(MaskF m, VecF a, VecF b) {
  return {select4(m.low, a.low, b.low), select4(m.high, a.high, b.high)};
}
#if defined(__SSE__)
TESSERA_INLINE VecF min(VecF a, VecF b) { return {_mm_min_ps(a.low, b.low), _mm_min_ps(a.high, b.high)}; }
TESSERA_INLINE VecF max(VecF a, VecF b) { return {_mm_max_ps(a.low, b.low), _mm_max_ps(a.high, b.high)}; }
TESSERA_INLINE VecF sqrt(VecF a) { return {_mm_sqrt_ps(a.low), _mm_sqrt_ps(a.high)}; }
#else
TESSERA_INLINE VecF min(VecF a, VecF b) { return select(a < b, a, b); }
TESSERA_INLINE VecF max(VecF a, VecF b) { return select(b < a, a, b); }
TESSERA_INLINE VecF sqrt(VecF a) {
  VecF r;
  for (int i = 0; i < 4; ++i) {
    r.low[i] = __builtin_sqrtf(a.low[i]);
    r.high[i] = __builtin_sqrtf(a.high[i]);
  }
  return r;
}
#endif
TESSERA_INLINE VecF abs(VecF a) {
  return {__builtin_bit_cast(Float4, __builtin_bit_cast(Int4, a.low) & 0x7fffffff),
          __builtin_bit_cast(Float4, __builtin_bit_cast(Int4, a.high) & 0x7fffffff)};
}
/// For |a| < 2²²: adding 1.5 · 2²³ leaves no bits for a fraction.
TESSERA_INLINE VecF round(VecF a) { return (a + VecF(12582912.0f)) - VecF(12582912.0f); }

TESSERA_INLINE Float4 scale4(Float4 a, Float4 n) {
  // Two factors, so that neither leaves the normal range; the second product is the only one that can round.
  const Int4 whole = __builtin_convertvector(n, Int4);
  const Int4 half = whole >> 1;
  const Float4 first = __builtin_bit_cast(Float4, (half + 127) << 23);
  const Float4 second = __builtin_bit_cast(Float4, (whole - half + 127) << 23);
  return a * first * second;
}
TESSERA_INLINE VecF scale2(VecF a, VecF n) { return {scale4(a.low, n.low), scale4(a.high, n.high)}; }
TESSERA_INLINE VecF scale2_normal(VecF a, VecF n) { return scale2(a, n); }

TESSERA_INLINE float sum(VecF a) {
  const Float4 q = a.low + a.high;
  return (q[0] + q[2]) + (q[1] + q[3]);
}
TESSERA_INLINE float max_lane(VecF a) {
  const Float4 q = max(a, VecF(a.high, a.low)).low;
  const float even = q[0] > q[2] ? q[0] : q[2];
  const float odd = q[1] > q[3] ? q[1] : q[3];
  return even > odd ? even : odd;
}

template <>
struct DoubleSum<VecF> {
  Double4 low, high;
  TESSERA_INLINE DoubleSum() : low{}, high{} {}
  TESSERA_INLINE void add_product(VecF a, VecF b) {
    low += __builtin_convertvector(a.low, Double4) * __builtin_convertvector(b.low, Double4);
    high += __builtin_convertvector(a.high, Double4) * __builtin_convertvector(b.high, Double4);
  }
  [[nodiscard]] TESSERA_INLINE double total() const {
    const Double4 h = low + high;
    return (h[0] + h[2]) + (h[1] + h[3]);
  }
};

}  // namespace tessera::cpu::TESSERA_ISA
