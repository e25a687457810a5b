#pragma once

// VecF by the compiler's vector extension: two SSE or NEON registers on common machines. See simd.h for the interface.
namespace tessera::cpu::TESSERA_ISA {

using Float8 = float __attribute__((vector_size(32)));
using Double8 = double __attribute__((vector_size(64)));
using Int8 = int32_t __attribute__((vector_size(32)));
using Uint8 = uint32_t __attribute__((vector_size(32)));
using Half8 = uint16_t __attribute__((vector_size(16)));

struct MaskF {
  Int8 m;
};

struct VecF {
  using Element = float;
  using Mask = MaskF;
  static constexpr int kWidth = 8;
  Float8 v;

  VecF() = default;
  TESSERA_INLINE explicit VecF(Float8 x) : v(x) {}
  TESSERA_INLINE explicit VecF(float x) : v{x, x, x, x, x, x, x, x} {}
  TESSERA_INLINE explicit VecF(double x) : VecF(static_cast<float>(x)) {}
  static TESSERA_INLINE VecF iota() { return VecF(Float8{0, 1, 2, 3, 4, 5, 6, 7}); }
  static TESSERA_INLINE Mask first(int n) { return {Int8{0, 1, 2, 3, 4, 5, 6, 7} < Int8{n, n, n, n, n, n, n, n}}; }

  static TESSERA_INLINE VecF load(const float* p) {
    VecF r;
    __builtin_memcpy(&r.v, p, sizeof(r.v));
    return r;
  }
  static TESSERA_INLINE VecF load(const float* p, int n) {
    float lanes[8] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  static TESSERA_INLINE VecF load(const bfloat16* p) {
    Half8 x;
    __builtin_memcpy(&x, p, sizeof(x));
    return VecF(__builtin_bit_cast(Float8, __builtin_convertvector(x, Uint8) << 16));
  }
  static TESSERA_INLINE VecF load(const bfloat16* p, int n) {
    bfloat16 lanes[8];
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  TESSERA_INLINE void store(float* p) const { __builtin_memcpy(p, &v, sizeof(v)); }
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
    const Uint8 u = __builtin_bit_cast(Uint8, v);
    const Uint8 high = u >> 16;
    const Uint8 rounded = (u + 0x7fffu + (high & 1u)) >> 16;
    const Uint8 nan = __builtin_bit_cast(Uint8, v != v);
    return __builtin_convertvector((nan & (high | 0x40u)) | (~nan & rounded), Half8);
  }
};

TESSERA_INLINE VecF operator+(VecF a, VecF b) { return VecF(a.v + b.v); }
TESSERA_INLINE VecF operator-(VecF a, VecF b) { return VecF(a.v - b.v); }
TESSERA_INLINE VecF operator*(VecF a, VecF b) { return VecF(a.v * b.v); }
TESSERA_INLINE VecF operator/(VecF a, VecF b) { return VecF(a.v / b.v); }
TESSERA_INLINE VecF operator-(VecF a) { return VecF(-a.v); }
TESSERA_INLINE MaskF operator<(VecF a, VecF b) { return {a.v < b.v}; }
TESSERA_INLINE MaskF operator<=(VecF a, VecF b) { return {a.v <= b.v}; }
TESSERA_INLINE MaskF operator==(VecF a, VecF b) { return {a.v == b.v}; }
TESSERA_INLINE MaskF is_nan(VecF a) { return {a.v != a.v}; }
TESSERA_INLINE VecF fma(VecF a, VecF b, VecF c) { return VecF(a.v * b.v + c.v); }
TESSERA_INLINE VecF fnma(VecF a, VecF b, VecF c) { return VecF(c.v - a.v * b.v); }
TESSERA_INLINE VecF select(MaskF m, VecF a, VecF b) {
  const Int8 x = __builtin_bit_cast(Int8, a.v);
  const Int8 y = __builtin_bit_cast(Int8, b.v);
  return VecF(__builtin_bit_cast(Float8, (m.m & x) | (~m.m & y)));
}
TESSERA_INLINE VecF min(VecF a, VecF b) { return select(a < b, a, b); }
TESSERA_INLINE VecF max(VecF a, VecF b) { return select(b < a, a, b); }
TESSERA_INLINE VecF sqrt(VecF a) {
  VecF r;
  for (int i = 0; i < 8; ++i) r.v[i] = __builtin_sqrtf(a.v[i]);
  return r;
}
TESSERA_INLINE VecF abs(VecF a) { return VecF(__builtin_bit_cast(Float8, __builtin_bit_cast(Int8, a.v) & 0x7fffffff)); }
/// For |a| < 2²²: adding 1.5 · 2²³ leaves no bits for a fraction.
TESSERA_INLINE VecF round(VecF a) { return VecF((a.v + 12582912.0f) - 12582912.0f); }
TESSERA_INLINE VecF scale2(VecF a, VecF n) {
  // Two factors, so that neither leaves the normal range; the second product is the only one that can round.
  const Int8 whole = __builtin_convertvector(n.v, Int8);
  const Int8 half = whole >> 1;
  const Float8 first = __builtin_bit_cast(Float8, (half + 127) << 23);
  const Float8 second = __builtin_bit_cast(Float8, (whole - half + 127) << 23);
  return VecF(a.v * first * second);
}

TESSERA_INLINE float sum(VecF a) {
  const Float8& v = a.v;
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
TESSERA_INLINE float max_lane(VecF a) {
  float r = a.v[0];
  for (int i = 1; i < 8; ++i) r = r > a.v[i] ? r : a.v[i];
  return r;
}

template <>
struct DoubleSum<VecF> {
  Double8 lanes;
  TESSERA_INLINE DoubleSum() : lanes{} {}
  TESSERA_INLINE void add_product(VecF a, VecF b) {
    lanes += __builtin_convertvector(a.v, Double8) * __builtin_convertvector(b.v, Double8);
  }
  [[nodiscard]] TESSERA_INLINE double total() const {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  }
};

}  // namespace tessera::cpu::TESSERA_ISA
