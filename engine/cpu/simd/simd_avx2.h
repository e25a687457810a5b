#pragma once

// VecF by AVX2 and FMA. See simd.h for the interface.
namespace tessera::cpu::TESSERA_ISA {

struct MaskF {
  __m256 m;
};

struct VecF {
  using Element = float;
  using Mask = MaskF;
  static constexpr int kWidth = 8;
  __m256 v;

  VecF() = default;
  TESSERA_INLINE explicit VecF(__m256 x) : v(x) {}
  TESSERA_INLINE explicit VecF(float x) : v(_mm256_set1_ps(x)) {}
  TESSERA_INLINE explicit VecF(double x) : v(_mm256_set1_ps(static_cast<float>(x))) {}
  static TESSERA_INLINE VecF iota() { return VecF(_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)); }
  static TESSERA_INLINE Mask first(int n) { return {_mm256_castsi256_ps(first_bits(n))}; }
  static TESSERA_INLINE __m256i first_bits(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static TESSERA_INLINE VecF load(const float* p) { return VecF(_mm256_loadu_ps(p)); }
  static TESSERA_INLINE VecF load(const float* p, int n) { return VecF(_mm256_maskload_ps(p, first_bits(n))); }
  static TESSERA_INLINE VecF load(const bfloat16* p) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static TESSERA_INLINE VecF load(const bfloat16* p, int n) {
    alignas(16) uint16_t lanes[8] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i].bits;
    return widen(_mm_load_si128(reinterpret_cast<const __m128i*>(lanes)));
  }
  TESSERA_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  TESSERA_INLINE void store(float* p, int n) const { _mm256_maskstore_ps(p, first_bits(n), v); }
  TESSERA_INLINE void store(bfloat16* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow()); }
  TESSERA_INLINE void store(bfloat16* p, int n) const {
    alignas(16) uint16_t lanes[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes), narrow());
    for (int i = 0; i < n; ++i) p[i].bits = lanes[i];
  }

  static TESSERA_INLINE VecF widen(__m128i x) {
    return VecF(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)));
  }
  /// The lanes as bfloat16.
  [[nodiscard]] TESSERA_INLINE __m128i narrow() const {
    const __m256i u = _mm256_castps_si256(v);
    const __m256i high = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i kept = _mm256_blendv_epi8(rounded, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(kept, kept), 0x08);
    return _mm256_castsi256_si128(packed);
  }
};

TESSERA_INLINE VecF operator+(VecF a, VecF b) { return VecF(_mm256_add_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator-(VecF a, VecF b) { return VecF(_mm256_sub_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator*(VecF a, VecF b) { return VecF(_mm256_mul_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator/(VecF a, VecF b) { return VecF(_mm256_div_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator-(VecF a) { return VecF(_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))); }
TESSERA_INLINE MaskF operator<(VecF a, VecF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
TESSERA_INLINE MaskF operator<=(VecF a, VecF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
TESSERA_INLINE MaskF operator==(VecF a, VecF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
TESSERA_INLINE MaskF is_nan(VecF a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
TESSERA_INLINE VecF fma(VecF a, VecF b, VecF c) { return VecF(_mm256_fmadd_ps(a.v, b.v, c.v)); }
TESSERA_INLINE VecF fnma(VecF a, VecF b, VecF c) { return VecF(_mm256_fnmadd_ps(a.v, b.v, c.v)); }
TESSERA_INLINE VecF min(VecF a, VecF b) { return VecF(_mm256_min_ps(a.v, b.v)); }
TESSERA_INLINE VecF max(VecF a, VecF b) { return VecF(_mm256_max_ps(a.v, b.v)); }
TESSERA_INLINE VecF sqrt(VecF a) { return VecF(_mm256_sqrt_ps(a.v)); }
TESSERA_INLINE VecF abs(VecF a) { return VecF(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)); }
TESSERA_INLINE VecF round(VecF a) { return VecF(_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); }
TESSERA_INLINE VecF select(MaskF m, VecF a, VecF b) { return VecF(_mm256_blendv_ps(b.v, a.v, m.m)); }
TESSERA_INLINE VecF scale2(VecF a, VecF n) {
  // Two factors, so that neither leaves the normal range; the second product is the only one that can round.
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
  return VecF(_mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second)));
}
TESSERA_INLINE VecF scale2_normal(VecF a, VecF n) {
  // n is added to the exponent's bits.
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n.v), 23);
  return VecF(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent)));
}

TESSERA_INLINE float sum(VecF a) {
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
TESSERA_INLINE float max_lane(VecF a) {
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

template <>
struct DoubleSum<VecF> {
  __m256d low;
  __m256d high;
  TESSERA_INLINE DoubleSum() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}
  TESSERA_INLINE void add_product(VecF a, VecF b) {
    low = _mm256_fmadd_pd(low_half(a), low_half(b), low);
    high = _mm256_fmadd_pd(high_half(a), high_half(b), high);
  }
  [[nodiscard]] TESSERA_INLINE double total() const {
    const __m256d h = _mm256_add_pd(low, high);
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
  }

 private:
  static TESSERA_INLINE __m256d low_half(VecF a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)); }
  static TESSERA_INLINE __m256d high_half(VecF a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)); }
};

}  // namespace tessera::cpu::TESSERA_ISA
